#include "id.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { UUID_LEN = 16, CVE_MAX = 32 };

/* 00abedb4-aa42-466c-9c01-fed23315a9b7: STIX 2.1, section 2.9, and OpenCTI for everything. */
static const uint8_t space_stix[UUID_LEN] = {0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c,
                                             0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7};
/* 6d7b8f0e-2f7c-4b0a-9a55-1c3e7d904b21: random, this connector's own, for its bundles. */
static const uint8_t space_bundles[UUID_LEN] = {0x6d, 0x7b, 0x8f, 0x0e, 0x2f, 0x7c, 0x4b, 0x0a,
                                                0x9a, 0x55, 0x1c, 0x3e, 0x7d, 0x90, 0x4b, 0x21};

/* RFC 4122, 4.3: SHA-1 over name space and name, cut to 16 bytes, version and variant written in. */
static int
uuid5(const uint8_t space[UUID_LEN], const void *name, size_t len, char ret[37])
{
    uint8_t u[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
             EVP_DigestUpdate(ctx, space, UUID_LEN) == 1 && EVP_DigestUpdate(ctx, name, len) == 1 &&
             EVP_DigestFinal_ex(ctx, u, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    if (!ok)
        return -1;
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x50);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
             u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    return 0;
}

static int
stix_id(const char *type, const uint8_t space[UUID_LEN], const void *name, size_t len, char ret[KEV_ID_LEN])
{
    char uuid[37];

    if (uuid5(space, name, len, uuid) != 0)
        return -1;
    snprintf(ret, KEV_ID_LEN, "%s--%s", type, uuid);
    return 0;
}

int
kev_id_vulnerability(const char *cve, char ret[KEV_ID_LEN])
{
    char lower[CVE_MAX + 1], name[CVE_MAX + 16];
    size_t n = 0;

    for (; n < CVE_MAX && cve[n] != '\0'; n++)
        lower[n] = (char)tolower((unsigned char)cve[n]);
    lower[n] = '\0';
    /* Canonical JSON (RFC 8785) of one ASCII text is the text itself: nothing in a CVE id needs an escape. */
    snprintf(name, sizeof(name), "{\"name\":\"%s\"}", lower);
    return stix_id("vulnerability", space_stix, name, strlen(name), ret);
}

int
kev_id_cisa(char ret[KEV_ID_LEN])
{
    static const char name[] = "{\"identity_class\":\"organization\",\"name\":\"cisa\"}";

    return stix_id("identity", space_stix, name, sizeof(name) - 1, ret);
}

int
kev_id_bundle(const char *content, size_t len, char ret[KEV_ID_LEN])
{
    return stix_id("bundle", space_bundles, content, len, ret);
}
