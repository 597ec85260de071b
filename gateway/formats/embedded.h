/* embedded.h - external references and kill chain phases: of each list, each thing once.
 *
 * A reference is told by its url, else by source_name and external_id together; one that has neither is nothing the
 * platform could keep, and goes.  A phase is told by both of its names (pycti 6.8.10, opencti_stix2_identifier.py). */
#ifndef EMBEDDED_H
#define EMBEDDED_H

#include <stdbool.h>

#include "bundle.h"

/* Read the list at j->at, adding an element for each of its objects to the bundle, kept or not.  false: see json.h. */
bool embedded_list(struct bundle *b, struct json *j, bool phases);

/* Add one element; false: no memory or above the budget (j->failed). */
bool bundle_add_element(struct bundle *b, struct json *j, uint32_t element);

#endif
