/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml.h"

#include "base/text.h"

#include <stdbool.h>
#include <string.h>

G_DEFINE_QUARK(one_telemetry_yaml, yaml_error)

#define KEY_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-."

typedef struct {
    GPtrArray *lines; /* of char*, without the newline, valid UTF-8 */
    guint at;         /* the next one */
    GError **error;
} Reader;

/* --- nodes --- */

void yaml_free(YamlNode *node)
{
    if (!node)
        return;
    g_free(node->key);
    g_free(node->value);
    if (node->children)
        g_ptr_array_unref(node->children);
    if (node->items)
        g_ptr_array_unref(node->items);
    g_free(node);
}

static YamlNode *node_new(guint line)
{
    YamlNode *node = g_new0(YamlNode, 1);
    node->line = line;
    return node;
}

static void become_mapping(YamlNode *node)
{
    if (!node->children)
        node->children = g_ptr_array_new_with_free_func((GDestroyNotify)yaml_free);
}

const YamlNode *yaml_child(const YamlNode *node, const char *key)
{
    for (guint i = node && node->children ? node->children->len : 0; i > 0; i--) {
        const YamlNode *child = g_ptr_array_index(node->children, i - 1);
        if (strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

const char *yaml_value(const YamlNode *node, const char *key)
{
    const YamlNode *child = yaml_child(node, key);
    return child ? child->value : NULL;
}

/* --- lines --- */

/* Always false. */
static bool fail(const Reader *reader, guint line, const char *problem)
{
    g_set_error(reader->error, YAML_ERROR, YAML_ERROR_SYNTAX, "line %u: %s", line, problem);
    return false;
}

static guint indent_of(const char *line)
{
    return (guint)strspn(line, " ");
}

static bool is_empty(const char *line)
{
    const char *first = line + strspn(line, " \t");
    return *first == '\0' || *first == '#';
}

static const char *line_at(const Reader *reader, guint i)
{
    return i < reader->lines->len ? g_ptr_array_index(reader->lines, i) : NULL;
}

/* The next line with something on it, or NULL at the end. */
static const char *peek(Reader *reader)
{
    while (reader->at < reader->lines->len && is_empty(line_at(reader, reader->at)))
        reader->at++;
    return line_at(reader, reader->at);
}

/* Nothing, or a comment, stands there. */
static bool ends(const char *text)
{
    const char *first = text + strspn(text, " \t");
    return *first == '\0' || (*first == '#' && first > text);
}

/* An element of a list stands there. */
static bool is_dash(const char *text)
{
    return *text == '-' && strchr(" \t", text[1]); /* which finds the end, too */
}

/* --- values --- */

static bool append_number(GString *value, const char **at, guint digits)
{
    guint number = 0;
    for (guint i = 0; i < digits; i++) {
        int digit = g_ascii_xdigit_value(**at);
        if (digit < 0)
            return false;
        number = number * 16 + (guint)digit;
        (*at)++;
    }
    if (number == 0 || (number >= 0xD800 && number < 0xE000))
        return false;
    text_append_char(value, number);
    return true;
}

/* What stands behind a backslash. */
static bool append_escaped(GString *value, const char **at)
{
    static const char names[] = "\"\\/ ntr";
    static const char meant[] = "\"\\/ \n\t\r";
    const char c = **at;
    const char *found = c ? strchr(names, c) : NULL;
    if (!found && c != 'x' && c != 'u')
        return false;
    (*at)++;
    if (!found)
        return append_number(value, at, c == 'x' ? 2 : 4);
    g_string_append_c(value, meant[found - names]);
    return true;
}

static void strip_end(GString *value, gsize least)
{
    while (value->len > least && (value->str[value->len - 1] == ' ' || value->str[value->len - 1] == '\t'))
        g_string_truncate(value, value->len - 1);
}

/* The next line of a value in quotes: a line break is a blank, and every empty line a newline. NULL: the file ends. */
static const char *next_quoted_line(Reader *reader, GString *value)
{
    guint empty = 0;
    strip_end(value, 0);
    const char *line = line_at(reader, ++reader->at);
    for (; line && line[strspn(line, " \t")] == '\0'; line = line_at(reader, ++reader->at))
        empty++;
    for (guint i = 0; i < empty; i++)
        g_string_append_c(value, '\n');
    if (!empty)
        g_string_append_c(value, ' ');
    return line ? line + strspn(line, " \t") : NULL;
}

/* `*from` is behind the opening quote, in the line at hand. Moves it behind the closing one, and on to that line. */
static char *scan_quoted(Reader *reader, const char **from, char quote)
{
    const guint first = reader->at + 1;
    const char *at = *from;
    g_autoptr(GString) value = g_string_new(NULL);
    for (;;) {
        if (*at == '\0') {
            at = next_quoted_line(reader, value);
            if (!at) {
                fail(reader, first, "the quote that opens here is not closed");
                return NULL;
            }
        } else if (quote == '\'' && at[0] == '\'' && at[1] == '\'') {
            g_string_append_c(value, '\'');
            at += 2;
        } else if (*at == quote) {
            break;
        } else if (quote == '"' && *at == '\\') {
            at++;
            if (!append_escaped(value, &at)) {
                fail(reader, reader->at + 1,
                     "after a backslash expected one of \" \\ / n t r, xHH or uHHHH; in '…' it needs none");
                return NULL;
            }
        } else {
            g_string_append_c(value, *at++);
        }
    }
    *from = at + 1;
    return g_string_free(g_steal_pointer(&value), FALSE);
}

/* The same, of a value that nothing follows. Moves on to the line after its end. */
static char *read_quoted(Reader *reader, const char *at, char quote)
{
    g_autofree char *value = scan_quoted(reader, &at, quote);
    if (!value)
        return NULL;
    if (!ends(at)) {
        fail(reader, reader->at + 1, "something stands behind the closing quote");
        return NULL;
    }
    reader->at++;
    return g_steal_pointer(&value);
}

/* Line breaks of a folded block: one between two lines of text is a blank. */
static void append_folded(GString *value, const char *line, guint *breaks, bool *was_deeper)
{
    bool deeper = *line == ' ' || *line == '\t';
    if (value->len > 0 && *breaks == 1 && !deeper && !*was_deeper)
        g_string_append_c(value, ' ');
    else
        for (guint i = deeper || *was_deeper || value->len == 0 ? 0 : 1; i < *breaks; i++)
            g_string_append_c(value, '\n');
    g_string_append(value, line);
    *breaks = 1;
    *was_deeper = deeper;
}

/* `style` is what stands behind the colon, from | or > on; the block is deeper than `indent`. */
static char *read_block(Reader *reader, const char *style, guint indent)
{
    const bool folded = *style == '>';
    const char chomp = (char)(style[1] == '-' || style[1] == '+' ? style[1] : '\0');
    if (!ends(style + 1 + (chomp != '\0'))) {
        fail(reader, reader->at + 1, "after | and > expected - or + or nothing");
        return NULL;
    }
    GString *value = g_string_new(NULL);
    guint depth = 0, breaks = 0;
    bool was_deeper = false;
    const char *line;
    for (reader->at++; (line = line_at(reader, reader->at)); reader->at++) {
        const guint here = indent_of(line);
        if (line[here] == '\0') {
            breaks++;
            continue;
        }
        if (here <= indent || (depth && here < depth))
            break;
        depth = depth ? depth : here;
        if (folded) {
            append_folded(value, line + depth, &breaks, &was_deeper);
            continue;
        }
        for (; breaks > 0; breaks--)
            g_string_append_c(value, '\n');
        g_string_append(value, line + depth);
        breaks = 1;
    }
    if (value->len > 0 && chomp != '-')
        for (guint i = 0; i < (chomp == '+' ? breaks : 1); i++)
            g_string_append_c(value, '\n');
    return g_string_free(value, FALSE);
}

/* A plain value from `*from` up to a comment or one of `stops`. Moves it behind. */
static char *scan_plain(Reader *reader, const char **from, const char *stops)
{
    const char *text = *from, *at = text;
    if (strchr("[]{}&*!%@`,?#|>", *text) || is_dash(text)) {
        fail(reader, reader->at + 1,
             "lists in lists, {…}, anchors, aliases and tags are not understood here; a text belongs into quotes");
        return NULL;
    }
    g_autoptr(GString) value = g_string_new(NULL);
    for (; *at && !strchr(stops, *at) && !(*at == '#' && at > text && (at[-1] == ' ' || at[-1] == '\t')); at++)
        g_string_append_c(value, *at);
    strip_end(value, 0);
    if (strstr(value->str, ": ") || g_str_has_suffix(value->str, ":")) {
        fail(reader, reader->at + 1, "a value with a colon in it belongs into quotes");
        return NULL;
    }
    *from = at;
    return g_string_free(g_steal_pointer(&value), FALSE);
}

/* Up to a comment. Moves on to the next line. */
static char *read_plain(Reader *reader, const char *text)
{
    char *value = scan_plain(reader, &text, "");
    reader->at += value != NULL;
    return value;
}

/* --- lists --- */

static void become_list(YamlNode *node)
{
    node->items = g_ptr_array_new_with_free_func(g_free);
}

/* Moves `*at` to what comes next in […], below perhaps. */
static bool next_in_brackets(Reader *reader, const YamlNode *node, guint indent, const char **at)
{
    for (;;) {
        const char *line = line_at(reader, reader->at);
        *at += strspn(*at, " \t");
        if (**at && !(**at == '#' && (*at == line || (*at)[-1] == ' ' || (*at)[-1] == '\t')))
            return true;
        do
            line = line_at(reader, ++reader->at);
        while (line && is_empty(line));
        if (!line || (indent_of(line) <= indent && line[indent_of(line)] != ']'))
            return fail(reader, node->line,
                        "the [ that opens here is not closed, or the lines below it are not deeper than its key");
        *at = line;
    }
}

/* `at` is behind the [. Moves on to the line after its end. */
static bool read_brackets(Reader *reader, YamlNode *node, guint indent, const char *at)
{
    become_list(node);
    for (;;) {
        if (!next_in_brackets(reader, node, indent, &at))
            return false;
        if (*at == ']')
            break;
        const char quote = *at;
        const bool quoted = quote == '"' || quote == '\'';
        at += quoted;
        char *item = quoted ? scan_quoted(reader, &at, quote) : scan_plain(reader, &at, ",[]{}");
        if (!item)
            return false;
        g_ptr_array_add(node->items, item);
        if (!next_in_brackets(reader, node, indent, &at))
            return false;
        if (*at != ',' && *at != ']')
            return fail(reader, reader->at + 1, "in […] expected , or ] behind an element");
        at += *at == ',';
    }
    if (!ends(at + 1))
        return fail(reader, reader->at + 1, "something stands behind the ]");
    reader->at++;
    return true;
}

/* `indent` is that of the dashes. */
static bool read_dashes(Reader *reader, YamlNode *node, guint indent)
{
    become_list(node);
    const char *line;
    while ((line = peek(reader)) && indent_of(line) == indent && is_dash(line + indent)) {
        const char *text = line + indent + 1;
        text += strspn(text, " \t");
        if (*text == '\0' || *text == '#')
            return fail(reader, reader->at + 1, "nothing stands behind the -");
        char *item = *text == '"' || *text == '\'' ? read_quoted(reader, text + 1, *text) : read_plain(reader, text);
        if (!item)
            return false;
        g_ptr_array_add(node->items, item);
    }
    return true;
}

/* --- mappings --- */

static bool read_mapping(Reader *reader, YamlNode *node, guint indent, guint depth);

static bool no_more(Reader *reader, guint indent)
{
    const char *next = peek(reader);
    return !next || indent_of(next) <= indent ||
           fail(reader, reader->at + 1, "deeper than the key above it, which has a value already");
}

/* What stands behind the colon of a key, or below it. */
static bool read_content(Reader *reader, YamlNode *node, const char *text, guint indent, guint depth)
{
    if (*text == '"' || *text == '\'')
        node->value = read_quoted(reader, text + 1, *text);
    else if (*text == '|' || *text == '>')
        node->value = read_block(reader, text, indent);
    else if (*text && *text != '#' && *text != '[')
        node->value = read_plain(reader, text);
    if (node->value || (*text == '[' && read_brackets(reader, node, indent, text + 1)))
        return no_more(reader, indent);
    if (*text && *text != '#')
        return false;
    reader->at++;
    const char *next = peek(reader);
    if (next && indent_of(next) >= indent && is_dash(next + indent_of(next)))
        return read_dashes(reader, node, indent_of(next)) && no_more(reader, indent);
    if (next && indent_of(next) > indent)
        return read_mapping(reader, node, indent_of(next), depth + 1);
    node->value = g_strdup("");
    return true;
}

static bool read_key(Reader *reader, YamlNode *parent, guint indent, guint depth)
{
    const char *text = (const char *)line_at(reader, reader->at) + indent;
    const char *name = text + (*text == ':');
    gsize length = strspn(name, KEY_CHARACTERS);
    if (is_dash(text))
        return fail(reader, reader->at + 1, "lists stand below a key that has nothing else");
    if (*text == '\t')
        return fail(reader, reader->at + 1, "a tab; lines are indented by blanks");
    if (length == 0 || name[length] != ':' || !strchr(" \t", name[length + 1])) /* which finds the end, too */
        return fail(reader, reader->at + 1, "expected \"key: value\"; keys have letters, digits, _ - and . alone");
    YamlNode *node = node_new(reader->at + 1);
    node->key = g_strndup(name, length);
    g_ptr_array_add(parent->children, node);
    const char *content = name + length + 1;
    return read_content(reader, node, content + strspn(content, " \t"), indent, depth);
}

static bool read_mapping(Reader *reader, YamlNode *node, guint indent, guint depth)
{
    if (depth > YAML_DEPTH_MAX)
        return fail(reader, reader->at + 1, "too deep");
    become_mapping(node);
    const char *line;
    while ((line = peek(reader)) && indent_of(line) == indent)
        if (!read_key(reader, node, indent, depth))
            return false;
    if (line && indent_of(line) > indent)
        return fail(reader, reader->at + 1, "deeper than its neighbours");
    return true;
}

static GPtrArray *split_lines(const char *text, gsize length)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = text, *end = text + length; at < end;) {
        const char *newline = memchr(at, '\n', (gsize)(end - at));
        const char *stop = newline ? newline : end;
        gsize bytes = (gsize)(stop - at) - (stop > at && stop[-1] == '\r');
        g_ptr_array_add(lines, g_strndup(at, bytes));
        at = newline ? newline + 1 : end;
    }
    return lines;
}

YamlNode *yaml_read(const char *text, gsize length, GError **error)
{
    if (length > YAML_MAX) {
        g_set_error(error, YAML_ERROR, YAML_ERROR_TOO_LARGE, "it has more than %d bytes", YAML_MAX);
        return NULL;
    }
    Reader reader = {.error = error};
    if (!g_utf8_validate(text, (gssize)length, NULL)) {
        fail(&reader, 1, "the file is no UTF-8, or has NUL bytes");
        return NULL;
    }
    g_autoptr(GPtrArray) lines = reader.lines = split_lines(text, length);
    g_autoptr(YamlNode) root = node_new(1);
    become_mapping(root);
    const char *line = peek(&reader);
    if (line && g_str_has_prefix(line, "---") && ends(line + 3)) {
        reader.at++;
        line = peek(&reader);
    }
    if (line && !read_mapping(&reader, root, indent_of(line), 0))
        return NULL;
    if (peek(&reader)) {
        fail(&reader, reader.at + 1, "less deep than the lines above it");
        return NULL;
    }
    return g_steal_pointer(&root);
}
