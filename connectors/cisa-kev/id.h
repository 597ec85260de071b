/* id.h - the ids of what we send: the same thing has the same id in every run, and the one OpenCTI gives it.
 *
 * A STIX id is a type and a UUID of version 5 (RFC 4122, 4.3).  For the vulnerability and the identity the name that
 * is hashed is OpenCTI's (pycti's generate_id): the canonical JSON of what makes the object unique, in OpenCTI's name
 * space, so that an import through here and one by OpenCTI's own connector meet in one object.  Bundles are ours.
 * Pure; any thread. */
#ifndef KEV_ID_H
#define KEV_ID_H

#include <stddef.h>

enum { KEV_ID_LEN = 64 }; /* "vulnerability--" and 36 characters, with room */

/* Of a vulnerability by its CVE id.  cve: letters, digits and hyphens only; case does not matter.
 * -1: the hash is not to be had (libcrypto). */
int kev_id_vulnerability(const char *cve, char ret[KEV_ID_LEN]);

/* Of the organisation that publishes the catalogue. */
int kev_id_cisa(char ret[KEV_ID_LEN]);

/* Of a bundle, by the text that says what is in it. */
int kev_id_bundle(const char *content, size_t len, char ret[KEV_ID_LEN]);

#endif
