/* types.c - which objects OpenCTI has a place for. */
#include "types.h"

#include <string.h>

/* The types of pycti 6.8.10 (pycti/utils/opencti_stix2_utils.py and opencti_stix2_splitter.py), in order. */
static const char *const known[] = {
    "artifact", "attack-pattern", "autonomous-system", "bank-account", "campaign", "capability",
    "case-incident", "case-rfi", "case-rft", "channel", "course-of-action", "credential",
    "cryptocurrency-wallet", "cryptographic-key", "data-component", "data-source", "deleteoperation",
    "directory", "domain-name", "draftworkspace", "email-addr", "email-message", "email-mime-part-type",
    "event", "external-reference", "feedback", "file", "group", "grouping", "hostname", "identity",
    "incident", "indicator", "infrastructure", "intrusion-set", "ipv4-addr", "ipv6-addr", "kill-chain-phase",
    "label", "language", "location", "mac-addr", "malware", "malware-analysis", "marking-definition",
    "media-content", "mutex", "narrative", "network-traffic", "note", "notification", "observed-data",
    "opinion", "payment-card", "persona", "phone-number", "pir", "playbook", "process", "publicdashboard",
    "relationship", "report", "role", "security-coverage", "settings", "sighting", "simple-observable",
    "software", "ssh-key", "task", "text", "threat-actor", "tool", "tracking-number", "trash", "url", "user",
    "user-account", "user-agent", "vocabulary", "vulnerability", "windows-registry-key",
    "windows-registry-value-type", "work", "workspace", "x-mitre-data-component", "x-mitre-data-source",
    "x-opencti-case-incident", "x-opencti-case-rfi", "x-opencti-case-rft", "x-opencti-feedback",
    "x-opencti-task", "x509-certificate"};

static int
order(const char *id, size_t len, const char *type)
{
    const int o = strncmp(id, type, len);

    return o != 0 ? o : -(type[len] != '\0');
}

static bool
is_known(const char *type, size_t len)
{
    size_t low = 0, high = sizeof(known) / sizeof(known[0]);

    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int o = order(type, len, known[middle]);

        if (o == 0)
            return true;
        if (o < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

bool
types_support(const char *id, size_t len)
{
    const char *dashes = memmem(id, len, "--", 2);

    return dashes == NULL || is_known(id, (size_t)(dashes - id));
}
