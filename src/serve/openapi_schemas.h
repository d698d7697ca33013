/* SPDX-License-Identifier: Apache-2.0
 * What the API's answers consist of, for its description: a table of fields for each kind of object. Pure. */
#pragma once

#include "encode/json_writer.h"

/* "schemas": all that a type can name. */
void openapi_schemas(JsonWriter *json);

/* The members of a schema: "string", "integer", "number", "boolean", "any", or one of openapi_schemas; with [] behind
 * it an array of these, with ? behind that null too. */
void openapi_type(JsonWriter *json, const char *type);
