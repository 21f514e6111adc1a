/* The second half of `_packed.c`: from many packed spans to columns. What runs without the GIL touches bytes only. */

#include "_packed.h"

#define MAX_SHAPES (1u << 20)

enum result { ADDED, MALFORMED, NO_MEMORY };

static int is_packed_here(PyObject *packed)
{
    return PyBytes_CheckExact(packed) && PyBytes_GET_SIZE(packed) && PyBytes_AS_STRING(packed)[0] == MAGIC;
}

/* One group for each shape number up to the largest. */
typedef struct {
    Group *group;
    uint32_t shapes, capacity;
} Groups;

static enum result find_group(Groups *groups, const Header *header, Group **found)
{
    if (header->shape >= MAX_SHAPES || header->values >= MAX_SHAPES)
        return MALFORMED;
    if (header->shape >= groups->shapes) {
        if (reserve(&groups->group, &groups->capacity, (size_t)header->shape + 1, sizeof *groups->group) < 0)
            return NO_MEMORY;
        memset(groups->group + groups->shapes, 0, (header->shape + 1 - groups->shapes) * sizeof *groups->group);
        groups->shapes = header->shape + 1;
    }
    Group *group = *found = &groups->group[header->shape];
    if (group->column == NULL) {
        if (start_group(group, header->values + LEADING) < 0)
            return NO_MEMORY;
        for (uint32_t column = 0; column < group->columns; column++)
            group->column[column].form = &packed_form;
    }
    return group->columns == header->values + LEADING ? ADDED : MALFORMED;
}

static enum result add_span(Groups *groups, const uint8_t *at, const uint8_t *end)
{
    Header header;
    Group *group;
    if ((size_t)(end - at) < sizeof header)
        return MALFORMED;
    memcpy(&header, at, sizeof header);
    at += sizeof header;
    enum result result = find_group(groups, &header, &group);
    if (result != ADDED)
        return result;
    uint32_t row = group->rows;
    if (add_row(group, &header) < 0)
        return NO_MEMORY;
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

static enum result add_spans(PyObject *spans, Groups *groups)
{
    enum result result = ADDED;
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(spans) && result == ADDED; index++) {
        PyObject *packed = PyTuple_GET_ITEM(spans, index);
        if (is_packed_here(packed)) {
            const uint8_t *at = (uint8_t *)PyBytes_AS_STRING(packed);
            result = add_span(groups, at, at + PyBytes_GET_SIZE(packed));
        }
    }
    return result;
}

static PyObject *others_of(PyObject *spans)
{
    PyObject *others = PyList_New(0);
    for (Py_ssize_t index = 0; others != NULL && index < PyTuple_GET_SIZE(spans); index++) {
        PyObject *packed = PyTuple_GET_ITEM(spans, index);
        if (!is_packed_here(packed) && PyList_Append(others, packed) < 0)
            Py_CLEAR(others);
    }
    return others;
}

static PyObject *groups_result(const Groups *groups)
{
    PyObject *results = PyList_New(0);
    for (uint32_t shape = 0; results != NULL && shape < groups->shapes; shape++) {
        if (!groups->group[shape].rows)
            continue;
        PyObject *result = group_result(&groups->group[shape], shape);
        if (result == NULL || PyList_Append(results, result) < 0)
            Py_CLEAR(results);
        Py_XDECREF(result);
    }
    return results;
}

PyObject *columns(PyObject *Py_UNUSED(module), PyObject *packed)
{
    Groups groups = {NULL, 0, 0};
    enum result added;
    PyObject *results = NULL, *others = NULL;
    PyObject *spans = PySequence_Tuple(packed); /* nobody frees one of them meanwhile */
    if (spans == NULL || (others = others_of(spans)) == NULL)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    added = add_spans(spans, &groups);
    Py_END_ALLOW_THREADS
    if (added != ADDED)
        PyErr_SetString(added == NO_MEMORY ? PyExc_MemoryError : PyExc_ValueError, "packed spans can't be read");
    else
        results = groups_result(&groups);
done:
    for (uint32_t shape = 0; shape < groups.shapes; shape++)
        end_group(&groups.group[shape]);
    PyMem_RawFree(groups.group);
    Py_XDECREF(spans);
    if (results != NULL)
        return Py_BuildValue("(NN)", results, others);
    Py_XDECREF(others);
    return NULL;
}
