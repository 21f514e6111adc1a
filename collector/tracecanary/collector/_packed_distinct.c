/* Columns of `_packed.c`: the distinct values of many rows. What adds values touches bytes only, and needs no GIL. */

#include "_packed.h"

static uint64_t hash_seed;

void set_hash_seed(uint64_t seed)
{
    hash_seed = seed;
}

static uint64_t mix(uint64_t one, uint64_t other)
{
    unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const uint8_t *at, size_t size)
{
    uint64_t hash = hash_seed ^ size, part;
    for (; size >= sizeof part; size -= sizeof part, at += sizeof part) {
        memcpy(&part, at, sizeof part);
        hash = mix(part ^ hash_seed, hash ^ 0x9E3779B97F4A7C15u);
    }
    part = 0;
    memcpy(&part, at, size);
    return mix(part ^ hash_seed, hash ^ 0xD1B54A32D192ED03u);
}

int reserve(void *array, uint32_t *capacity, size_t count, size_t size)
{
    void *held;
    if (count <= *capacity)
        return 0;
    size_t more = count < 16 ? 16 : 2 * count;
    if (more > UINT32_MAX)
        return -1;
    memcpy(&held, array, sizeof held);
    held = PyMem_RawRealloc(held, more * size);
    if (held == NULL)
        return -1;
    memcpy(array, &held, sizeof held);
    *capacity = (uint32_t)more;
    return 0;
}

const Value *value_at(const Column *column, uint32_t code)
{
    return column->values == NULL ? &column->only : &column->values[code];
}

static int grow(Column *column)
{
    uint32_t capacity = column->capacity ? column->capacity * 2 : 4, slots = 2 * capacity; /* powers of two */
    Value *values = PyMem_RawRealloc(column->values, capacity * sizeof *values);
    if (values == NULL)
        return -1;
    if (column->values == NULL)
        values[0] = column->only;
    column->values = values;
    uint32_t *places = PyMem_RawCalloc(slots, sizeof *places);
    if (places == NULL)
        return -1;
    PyMem_RawFree(column->slots);
    column->slots = places;
    column->capacity = capacity;
    for (uint32_t code = 0; code < column->used; code++) {
        uint32_t slot = values[code].hash & (slots - 1);
        while (places[slot])
            slot = (slot + 1) & (slots - 1);
        places[slot] = code + 1;
    }
    return 0;
}

static int is_value(const Value *known, const uint8_t *at, size_t size)
{
    return known->size == size && memcmp(known->at, at, size) == 0;
}

static int put_code(Column *column, uint32_t row)
{
    if (reserve(&column->codes, &column->rows_capacity, (size_t)row + 1, sizeof *column->codes) < 0)
        return -1;
    column->codes[row] = (int32_t)column->last;
    return 0;
}

int64_t add_value(Column *column, uint32_t row, const uint8_t *at, size_t size)
{
    if (column->used == 0) {
        column->only = (Value){at, (uint32_t)size, (uint32_t)hash_bytes(at, size)};
        return (column->used = 1) - 1;
    }
    if (is_value(value_at(column, column->last), at, size))
        return column->used > 1 && put_code(column, row) < 0 ? -1 : (int64_t)column->last;
    if (column->used >= column->capacity && grow(column) < 0)
        return -1;
    uint32_t hash = (uint32_t)hash_bytes(at, size);
    uint32_t slots = 2 * column->capacity, slot = hash & (slots - 1);
    for (; column->slots[slot]; slot = (slot + 1) & (slots - 1)) {
        const Value *known = &column->values[column->slots[slot] - 1];
        if (known->hash == hash && is_value(known, at, size))
            break;
    }
    if (!column->slots[slot]) {
        if (column->used == 1) {
            if (reserve(&column->codes, &column->rows_capacity, (size_t)row + 1, sizeof *column->codes) < 0)
                return -1;
            memset(column->codes, 0, row * sizeof *column->codes);
        }
        column->values[column->used] = (Value){at, (uint32_t)size, hash};
        column->slots[slot] = ++column->used;
    }
    column->last = column->slots[slot] - 1;
    return put_code(column, row) < 0 ? -1 : (int64_t)column->last;
}

void end_column(Column *column)
{
    PyMem_RawFree(column->values);
    PyMem_RawFree(column->slots);
    PyMem_RawFree(column->codes);
}

/* Tells whether all values are numbers, or all are texts, whose bytes are counted. */
static enum plain plain_kind(const Column *column, uint32_t rows, size_t *text_bytes)
{
    enum plain kind = NEITHER;
    int64_t number;
    Bytes text = {NULL, NULL};
    *text_bytes = 0;
    for (uint32_t code = 0; code < column->used; code++) {
        const Value *value = value_at(column, code);
        enum plain found = column->form->plain(value->at, value->size, &number, &text);
        if (found == NEITHER || (code && found != kind))
            return NEITHER;
        kind = found;
    }
    if (kind == TEXT)
        for (uint32_t row = 0; row < rows; row++) {
            const Value *value = value_at(column, (uint32_t)column->codes[row]);
            column->form->plain(value->at, value->size, &number, &text);
            *text_bytes += (size_t)(text.end - text.at);
        }
    return *text_bytes <= INT32_MAX ? kind : NEITHER;
}

static PyObject *numbers_result(const Column *column, uint32_t rows)
{
    PyObject *numbers = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * sizeof(int64_t)));
    if (numbers == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(numbers);
    for (uint32_t row = 0; row < rows; row++, to += sizeof(int64_t)) {
        const Value *value = value_at(column, (uint32_t)column->codes[row]);
        int64_t number = 0;
        Bytes text;
        column->form->plain(value->at, value->size, &number, &text);
        memcpy(to, &number, sizeof number);
    }
    return Py_BuildValue("(ON)", Py_None, numbers);
}

static PyObject *texts_result(const Column *column, uint32_t rows, size_t text_bytes)
{
    PyObject *offsets = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((rows + 1) * sizeof(int32_t)));
    PyObject *texts = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)text_bytes);
    if (offsets == NULL || texts == NULL) {
        Py_XDECREF(offsets);
        Py_XDECREF(texts);
        return NULL;
    }
    char *place = PyBytes_AS_STRING(offsets), *to = PyBytes_AS_STRING(texts);
    int32_t offset = 0;
    memcpy(place, &offset, sizeof offset);
    for (uint32_t row = 0; row < rows; row++) {
        const Value *value = value_at(column, (uint32_t)column->codes[row]);
        int64_t number;
        Bytes text = {NULL, NULL};
        column->form->plain(value->at, value->size, &number, &text);
        size_t size = (size_t)(text.end - text.at);
        memcpy(to + offset, text.at, size);
        offset += (int32_t)size;
        memcpy(place += sizeof offset, &offset, sizeof offset);
    }
    return Py_BuildValue("(NN)", offsets, texts);
}

PyObject *column_result(const Column *column, uint32_t rows)
{
    size_t text_bytes;
    /* Where most values differ, Arrow's own form costs less than an object each. */
    enum plain kind = column->used > 1 && 2 * (uint64_t)column->used > rows ? plain_kind(column, rows, &text_bytes)
                                                                           : NEITHER;
    if (kind == NUMBER)
        return numbers_result(column, rows);
    if (kind == TEXT)
        return texts_result(column, rows, text_bytes);
    PyObject *values = PyList_New(column->used);
    for (uint32_t code = 0; values != NULL && code < column->used; code++) {
        const Value *value = value_at(column, code);
        PyObject *read = column->form->read(value->at, value->size);
        if (read == NULL)
            Py_CLEAR(values);
        else
            PyList_SET_ITEM(values, code, read);
    }
    if (values == NULL)
        return NULL;
    if (column->used == 1)
        return Py_BuildValue("(NO)", values, Py_None);
    return Py_BuildValue("(Ny#)", values, (const char *)column->codes, (Py_ssize_t)(rows * sizeof *column->codes));
}
