/* The second half of `_packed.c`: from many packed spans to columns. What runs without the GIL touches bytes only. */

#include "_packed.h"

static uint64_t hash_seed;

void set_hash_seed(uint64_t seed)
{
    hash_seed = seed;
}

typedef struct {
    const uint8_t *at;
    size_t size;
    uint64_t hash;
} Value;

typedef struct {
    PyObject *codes;   /* bytes of one int32_t for each row; not filled while there is one value only */
    Value *values;     /* distinct ones, in the order in which they came */
    uint32_t *slots;   /* an index of `values`, plus 1; NULL while there is one */
    uint32_t used, capacity;
    uint32_t last; /* code of the row before: a value is mostly the one before */
} Column;

typedef struct {
    uint32_t rows, filled, columns;
    Column *column;
    PyObject *indices, *trace_ids, *span_ids, *parents, *validity, *starts, *ends;
    int has_root;
} Group;

static uint64_t mix(uint64_t one, uint64_t other)
{
    unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(const uint8_t *at, size_t size)
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

static int grow(Column *column)
{
    uint32_t capacity = column->capacity * 4;
    Value *values = PyMem_RawRealloc(column->values, capacity * sizeof *values);
    if (values == NULL)
        return -1;
    column->values = values;
    uint32_t *slots = PyMem_RawCalloc(2 * (size_t)capacity, sizeof *slots);
    if (slots == NULL)
        return -1;
    PyMem_RawFree(column->slots);
    column->slots = slots;
    column->capacity = capacity;
    for (uint32_t code = 0; code < column->used; code++) {
        uint32_t slot = (uint32_t)column->values[code].hash % (2 * capacity);
        while (slots[slot])
            slot = (slot + 1) % (2 * capacity);
        slots[slot] = code + 1;
    }
    return 0;
}

static int32_t *codes_of(const Column *column)
{
    return (int32_t *)PyBytes_AS_STRING(column->codes);
}

static int add_value(Column *column, uint32_t row, const uint8_t *at, size_t size)
{
    if (column->used) {
        const Value *last = &column->values[column->last];
        if (last->size == size && memcmp(last->at, at, size) == 0) {
            if (column->used > 1)
                codes_of(column)[row] = (int32_t)column->last;
            return 0;
        }
    }
    if (column->used == column->capacity && grow(column) < 0)
        return -1;
    uint64_t hash = hash_bytes(at, size);
    uint32_t slot = (uint32_t)hash % (2 * column->capacity);
    for (; column->slots[slot]; slot = (slot + 1) % (2 * column->capacity)) {
        const Value *known = &column->values[column->slots[slot] - 1];
        if (known->hash == hash && known->size == size && memcmp(known->at, at, size) == 0)
            break;
    }
    if (!column->slots[slot]) {
        if (column->used == 1)
            memset(codes_of(column), 0, row * sizeof(int32_t));
        column->values[column->used] = (Value){at, size, hash};
        column->slots[slot] = ++column->used;
    }
    column->last = column->slots[slot] - 1;
    if (column->used > 1)
        codes_of(column)[row] = (int32_t)column->last;
    return 0;
}

static void put_hex(PyObject *digits, uint32_t row, const uint8_t *id, int size)
{
    char *to = PyBytes_AS_STRING(digits) + (size_t)row * 2 * size;
    for (int i = 0; i < size; i++) {
        *to++ = "0123456789abcdef"[id[i] >> 4];
        *to++ = "0123456789abcdef"[id[i] & 15];
    }
}

static void put_int64(PyObject *values, uint32_t row, int64_t value)
{
    memcpy(PyBytes_AS_STRING(values) + (size_t)row * sizeof value, &value, sizeof value);
}

enum result { ADDED, MALFORMED, NO_MEMORY };

static enum result add_row(Group *group, uint32_t index, const uint8_t *at, const uint8_t *end)
{
    Header header;
    uint32_t row = group->filled++;
    int32_t position = (int32_t)index;
    memcpy(&header, at, sizeof header);
    if (header.values + LEADING != group->columns)
        return MALFORMED;
    memcpy(PyBytes_AS_STRING(group->indices) + (size_t)row * sizeof position, &position, sizeof position);
    put_hex(group->trace_ids, row, header.trace_id, TRACE_ID_BYTES);
    put_hex(group->span_ids, row, header.span_id, SPAN_ID_BYTES);
    put_hex(group->parents, row, header.parent, SPAN_ID_BYTES);
    if (is_zero(header.parent, SPAN_ID_BYTES))
        group->has_root = 1;
    else
        PyBytes_AS_STRING(group->validity)[row / 8] |= (char)(1 << row % 8);
    put_int64(group->starts, row, header.start_ns);
    put_int64(group->ends, row, header.end_ns);
    at += sizeof header;
    for (uint32_t column = 0; column < group->columns; column++) {
        size_t size = value_size(at, end);
        if (size == 0)
            return MALFORMED;
        if (add_value(&group->column[column], row, at, size) < 0)
            return NO_MEMORY;
        at += size;
    }
    return ADDED;
}

static PyObject *zeros(size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (bytes != NULL)
        memset(PyBytes_AS_STRING(bytes), 0, size);
    return bytes;
}

static int start_group(Group *group)
{
    size_t rows = group->rows;
    group->column = PyMem_RawCalloc(group->columns, sizeof *group->column);
    if (group->column == NULL)
        return PyErr_NoMemory(), -1;
    group->indices = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * sizeof(int32_t)));
    group->trace_ids = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * 2 * TRACE_ID_BYTES));
    group->span_ids = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * 2 * SPAN_ID_BYTES));
    group->parents = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * 2 * SPAN_ID_BYTES));
    group->starts = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * sizeof(int64_t)));
    group->ends = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * sizeof(int64_t)));
    group->validity = zeros((rows + 7) / 8);
    for (uint32_t column = 0; column < group->columns && !PyErr_Occurred(); column++) {
        group->column[column].capacity = 1; /* the first growth makes room for four */
        group->column[column].codes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * sizeof(int32_t)));
        if (group->column[column].codes != NULL && grow(&group->column[column]) < 0)
            PyErr_NoMemory();
    }
    return PyErr_Occurred() ? -1 : 0;
}

static void end_group(Group *group)
{
    for (uint32_t column = 0; group->column != NULL && column < group->columns; column++) {
        Py_XDECREF(group->column[column].codes);
        PyMem_RawFree(group->column[column].values);
        PyMem_RawFree(group->column[column].slots);
    }
    PyMem_RawFree(group->column);
    PyObject *held[] = {group->indices,  group->trace_ids, group->span_ids, group->parents,
                        group->validity, group->starts,    group->ends};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        Py_XDECREF(held[i]);
}

static PyObject *column_result(const Column *column)
{
    PyObject *values = PyList_New(column->used);
    for (uint32_t code = 0; values != NULL && code < column->used; code++) {
        PyObject *value = read_value(column->values[code].at, column->values[code].size);
        if (value == NULL)
            Py_CLEAR(values);
        else
            PyList_SET_ITEM(values, code, value);
    }
    if (values == NULL)
        return NULL;
    return Py_BuildValue("(NO)", values, column->used > 1 ? column->codes : Py_None);
}

static PyObject *group_result(const Group *group, uint32_t shape)
{
    PyObject *columns = PyList_New(group->columns);
    for (uint32_t column = 0; columns != NULL && column < group->columns; column++) {
        PyObject *result = column_result(&group->column[column]);
        if (result == NULL)
            Py_CLEAR(columns);
        else
            PyList_SET_ITEM(columns, column, result);
    }
    if (columns == NULL)
        return NULL;
    return Py_BuildValue("(IIOOOOOOON)", shape, group->rows, group->indices, group->trace_ids, group->span_ids,
                         group->parents, group->has_root ? group->validity : Py_None, group->starts, group->ends,
                         columns);
}

static int is_packed_here(PyObject *packed)
{
    return PyBytes_CheckExact(packed) && PyBytes_GET_SIZE(packed) && PyBytes_AS_STRING(packed)[0] == MAGIC;
}

/* Sets `*groups` to one for each shape number up to the largest, with their rows and columns counted, and adds what was
   packed in another way to `others`. */
static int count_rows(PyObject *spans, Group **groups, uint32_t *shapes, PyObject *others)
{
    Header header;
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(spans); index++) {
        PyObject *packed = PyTuple_GET_ITEM(spans, index);
        if (!is_packed_here(packed)) {
            if (PyList_Append(others, packed) < 0)
                return -1;
            continue;
        }
        if (read_header(packed, &header) < 0)
            return -1;
        if (header.shape >= 1u << 20 || header.values >= 1u << 20) {
            PyErr_SetString(PyExc_ValueError, "not a packed span");
            return -1;
        }
        if (header.shape >= *shapes) {
            uint32_t more = header.shape + 16;
            Group *larger = PyMem_RawRealloc(*groups, more * sizeof *larger);
            if (larger == NULL)
                return PyErr_NoMemory(), -1;
            memset(larger + *shapes, 0, (more - *shapes) * sizeof *larger);
            *groups = larger;
            *shapes = more;
        }
        (*groups)[header.shape].rows++;
        (*groups)[header.shape].columns = header.values + LEADING;
    }
    return 0;
}

static enum result add_rows(PyObject *spans, Group *groups)
{
    enum result result = ADDED;
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(spans) && result == ADDED; index++) {
        PyObject *packed = PyTuple_GET_ITEM(spans, index);
        if (!is_packed_here(packed))
            continue;
        const uint8_t *at = (uint8_t *)PyBytes_AS_STRING(packed);
        uint32_t shape;
        memcpy(&shape, at + offsetof(Header, shape), sizeof shape);
        result = add_row(&groups[shape], (uint32_t)index, at, at + PyBytes_GET_SIZE(packed));
    }
    return result;
}

static PyObject *groups_result(const Group *groups, uint32_t shapes)
{
    PyObject *results = PyList_New(0);
    for (uint32_t shape = 0; results != NULL && shape < shapes; shape++) {
        if (!groups[shape].rows)
            continue;
        PyObject *result = group_result(&groups[shape], shape);
        if (result == NULL || PyList_Append(results, result) < 0)
            Py_CLEAR(results);
        Py_XDECREF(result);
    }
    return results;
}

PyObject *columns(PyObject *Py_UNUSED(module), PyObject *packed)
{
    Group *groups = NULL;
    uint32_t shapes = 0;
    enum result added;
    PyObject *results = NULL;
    PyObject *others = PyList_New(0);
    PyObject *spans = others == NULL ? NULL : PySequence_Tuple(packed); /* nobody frees one of them meanwhile */
    if (spans == NULL || count_rows(spans, &groups, &shapes, others) < 0)
        goto done;
    for (uint32_t shape = 0; shape < shapes; shape++)
        if (groups[shape].rows && start_group(&groups[shape]) < 0)
            goto done;
    Py_BEGIN_ALLOW_THREADS
    added = add_rows(spans, groups);
    Py_END_ALLOW_THREADS
    if (added != ADDED)
        PyErr_SetString(added == NO_MEMORY ? PyExc_MemoryError : PyExc_ValueError, "packed spans can't be read");
    else
        results = groups_result(groups, shapes);
done:
    for (uint32_t shape = 0; shape < shapes; shape++)
        end_group(&groups[shape]);
    PyMem_RawFree(groups);
    Py_XDECREF(spans);
    if (results != NULL)
        return Py_BuildValue("(NN)", results, others);
    Py_XDECREF(others);
    return NULL;
}
