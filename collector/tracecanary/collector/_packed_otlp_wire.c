/* Protobuf on the wire, for `_packed_otlp.c`: fields, texts, attribute values.

   Whatever a full decoder might refuse or read in another way (a field twice that may occur once, an unknown one in a
   value, a nesting without end) counts as damage here: requests with it are left to that decoder. */

#include "_packed_otlp.h"

#define MAX_DEPTH 16 /* of values in values */

enum value_field { STRING = 1, BOOL = 2, INT = 3, DOUBLE = 4, ARRAY = 5, MAP = 6, BYTES = 7 };

static int read_varint(Bytes *message, uint64_t *number)
{
    *number = 0;
    for (int shift = 0; shift < 64 && message->at < message->end; shift += 7) {
        uint64_t byte = *message->at++;
        if (shift == 63 && byte > 1)
            return -1;
        *number |= (byte & 0x7F) << shift;
        if (byte < 0x80)
            return 0;
    }
    return -1;
}

int next_long_field(Bytes *message, Field *field)
{
    uint64_t tag, size;
    if (message->at == message->end)
        return 0;
    if (read_varint(message, &tag) < 0 || tag > UINT32_MAX || tag < 8)
        return -1;
    field->number = (uint32_t)tag >> 3;
    switch (field->type = (enum wire_type)(tag & 7)) {
    case VARINT:
        field->bytes = (Bytes){message->at, message->at};
        return read_varint(message, &field->integer) < 0 ? -1 : 1;
    case LENGTH:
        if (read_varint(message, &size) < 0)
            return -1;
        break;
    case FIXED_64:
        size = sizeof(uint64_t);
        break;
    case FIXED_32:
        size = sizeof(uint32_t);
        break;
    default:
        return -1;
    }
    field->integer = 0;
    if (size > (uint64_t)(message->end - message->at))
        return -1;
    field->bytes = (Bytes){message->at, message->at + size};
    message->at += size;
    if (field->type != LENGTH)
        memcpy(&field->integer, field->bytes.at, (size_t)size); /* little-endian, like the machine: see `scan` */
    return 1;
}

/* Source: The Unicode Standard 15.0, table 3-7, "Well-Formed UTF-8 Byte Sequences". */
static size_t sequence_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0], low = 0x80, high = 0xBF;
    size_t size = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (size == 0 || size > left)
        return 0;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

int is_utf8(Bytes text)
{
    const uint8_t *at = text.at;
    uint64_t part;
    while (at < text.end) {
        size_t left = (size_t)(text.end - at);
        if (left >= sizeof part) {
            memcpy(&part, at, sizeof part);
            if (!(part & 0x8080808080808080u)) {
                at += sizeof part;
                continue;
            }
        }
        size_t size = *at < 0x80 ? 1 : sequence_size(at, left);
        if (size == 0)
            return 0;
        at += size;
    }
    return 1;
}

int split_key_value(Bytes message, Bytes *key, Bytes *value)
{
    static const uint8_t nothing[1];
    Field field;
    int more, has_key = 0, has_value = 0;
    *key = *value = (Bytes){nothing, nothing};
    while ((more = next_field(&message, &field)) > 0) {
        int is_key = field.number == 1;
        if (field.type != LENGTH || field.number > 2 || (is_key ? has_key++ : has_value++))
            return -1;
        *(is_key ? key : value) = field.bytes;
    }
    return more;
}

static int check_value(Bytes message, int depth)
{
    static const enum wire_type types[] = {LENGTH, VARINT, VARINT, FIXED_64, LENGTH, LENGTH, LENGTH};
    Field field, item;
    Bytes key, value;
    int more = next_field(&message, &field);
    if (more <= 0)
        return more;
    if (depth > MAX_DEPTH || field.number > BYTES || field.type != types[field.number - 1] || message.at != message.end)
        return -1;
    if (field.number == STRING)
        return is_utf8(field.bytes) ? 0 : -1;
    if (field.number == BOOL)
        return field.integer > 1 ? -1 : 0;
    if (field.number != ARRAY && field.number != MAP)
        return 0;
    while ((more = next_field(&field.bytes, &item)) > 0) {
        value = item.bytes;
        if (item.number != 1 || item.type != LENGTH ||
            (field.number == MAP && (split_key_value(item.bytes, &key, &value) < 0 || !is_utf8(key))) ||
            check_value(value, depth + 1) < 0)
            return -1;
    }
    return more;
}

int check_any_value(Bytes message)
{
    return check_value(message, 0);
}

static PyObject *text_of(Bytes text)
{
    return PyUnicode_DecodeUTF8((const char *)text.at, text.end - text.at, NULL);
}

static PyObject *read_any_value(const uint8_t *at, size_t size);

static PyObject *read_array(Bytes message)
{
    Field item;
    PyObject *items = PyList_New(0);
    while (items != NULL && next_field(&message, &item) > 0) {
        PyObject *value = read_any_value(item.bytes.at, (size_t)(item.bytes.end - item.bytes.at));
        if (value == NULL || PyList_Append(items, value) < 0)
            Py_CLEAR(items);
        Py_XDECREF(value);
    }
    return items;
}

static PyObject *read_map(Bytes message)
{
    Field item;
    Bytes key, content;
    PyObject *items = PyDict_New();
    while (items != NULL && next_field(&message, &item) > 0) {
        split_key_value(item.bytes, &key, &content);
        PyObject *name = text_of(key);
        PyObject *value = name == NULL ? NULL : read_any_value(content.at, (size_t)(content.end - content.at));
        if (value == NULL || PyDict_SetItem(items, name, value) < 0) /* of equal keys the last one stays */
            Py_CLEAR(items);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    return items;
}

static PyObject *read_any_value(const uint8_t *at, size_t size)
{
    Bytes message = {at, at + size};
    Field field;
    double real;
    if (next_field(&message, &field) <= 0)
        Py_RETURN_NONE;
    switch ((enum value_field)field.number) {
    case STRING:
        return text_of(field.bytes);
    case BOOL:
        return PyBool_FromLong(field.integer != 0);
    case INT:
        return PyLong_FromLongLong((int64_t)field.integer);
    case DOUBLE:
        memcpy(&real, &field.integer, sizeof real);
        return PyFloat_FromDouble(real);
    case ARRAY:
        return read_array(field.bytes);
    case MAP:
        return read_map(field.bytes);
    case BYTES:
        break;
    }
    return PyBytes_FromStringAndSize((const char *)field.bytes.at, field.bytes.end - field.bytes.at);
}

static enum plain plain_any_value(const uint8_t *at, size_t size, int64_t *number, Bytes *text)
{
    Bytes message = {at, at + size};
    Field field;
    if (next_field(&message, &field) <= 0)
        return NEITHER;
    *number = (int64_t)field.integer;
    *text = field.bytes;
    return field.number == INT ? NUMBER : field.number == STRING ? TEXT : NEITHER;
}

static PyObject *read_text(const uint8_t *at, size_t size)
{
    return text_of((Bytes){at, at + size});
}

static enum plain plain_text(const uint8_t *at, size_t size, int64_t *Py_UNUSED(number), Bytes *text)
{
    *text = (Bytes){at, at + size};
    return TEXT;
}

const Form any_value_form = {read_any_value, plain_any_value};
const Form text_form = {read_text, plain_text};
