/* Spans of one shape by columns, for `_packed.c`. What adds rows touches bytes only, and needs no GIL. */

#include "_packed.h"

int start_group(Group *group, uint32_t columns)
{
    group->columns = columns;
    group->column = PyMem_RawCalloc(columns, sizeof *group->column);
    return group->column == NULL ? -1 : 0;
}

/* Makes room for one row more, in all arrays or else -1. */
static int make_room(Group *group)
{
    size_t rows = group->capacity ? 4 * (size_t)group->capacity : 16;
    const struct {
        void *array;
        size_t size;
    } arrays[] = {
        {&group->trace_ids, 2 * TRACE_ID_BYTES * rows}, {&group->span_ids, 2 * SPAN_ID_BYTES * rows},
        {&group->parents, 2 * SPAN_ID_BYTES * rows},    {&group->validity, rows / 8},
        {&group->starts, sizeof(int64_t) * rows},       {&group->ends, sizeof(int64_t) * rows},
    };
    if (rows > INT32_MAX)
        return -1;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        void *held;
        memcpy(&held, arrays[i].array, sizeof held);
        held = PyMem_RawRealloc(held, arrays[i].size);
        if (held == NULL)
            return -1;
        memcpy(arrays[i].array, &held, sizeof held);
    }
    memset(group->validity + group->capacity / 8, 0, (rows - group->capacity) / 8);
    group->capacity = (uint32_t)rows;
    return 0;
}

static void put_hex(uint8_t *digits, uint32_t row, const uint8_t *id, int size)
{
    uint8_t *to = digits + (size_t)row * 2 * (size_t)size;
    for (int i = 0; i < size; i++) {
        *to++ = (uint8_t) "0123456789abcdef"[id[i] >> 4];
        *to++ = (uint8_t) "0123456789abcdef"[id[i] & 15];
    }
}

int add_row(Group *group, const Header *header)
{
    if (group->rows == group->capacity && make_room(group) < 0)
        return -1;
    uint32_t row = group->rows++;
    put_hex(group->trace_ids, row, header->trace_id, TRACE_ID_BYTES);
    put_hex(group->span_ids, row, header->span_id, SPAN_ID_BYTES);
    put_hex(group->parents, row, header->parent, SPAN_ID_BYTES);
    if (is_zero(header->parent, SPAN_ID_BYTES))
        group->has_root = 1;
    else
        group->validity[row / 8] |= (uint8_t)(1 << row % 8);
    group->starts[row] = header->start_ns;
    group->ends[row] = header->end_ns;
    return 0;
}

static PyObject *bytes_of(const void *array, size_t size)
{
    return PyBytes_FromStringAndSize(array, (Py_ssize_t)size);
}

PyObject *group_result(const Group *group, uint32_t shape)
{
    size_t rows = group->rows;
    PyObject *columns = PyList_New(group->columns);
    for (uint32_t column = 0; columns != NULL && column < group->columns; column++) {
        PyObject *result = column_result(&group->column[column], group->rows);
        if (result == NULL)
            Py_CLEAR(columns);
        else
            PyList_SET_ITEM(columns, column, result);
    }
    if (columns == NULL)
        return NULL;
    return Py_BuildValue("(IINNNNNNN)", shape, group->rows, bytes_of(group->trace_ids, 2 * TRACE_ID_BYTES * rows),
                         bytes_of(group->span_ids, 2 * SPAN_ID_BYTES * rows),
                         bytes_of(group->parents, 2 * SPAN_ID_BYTES * rows),
                         group->has_root ? bytes_of(group->validity, (rows + 7) / 8) : Py_NewRef(Py_None),
                         bytes_of(group->starts, sizeof(int64_t) * rows), bytes_of(group->ends, sizeof(int64_t) * rows),
                         columns);
}

void end_group(Group *group)
{
    for (uint32_t column = 0; group->column != NULL && column < group->columns; column++)
        end_column(&group->column[column]);
    PyMem_RawFree(group->column);
    PyMem_RawFree(group->trace_ids);
    PyMem_RawFree(group->span_ids);
    PyMem_RawFree(group->parents);
    PyMem_RawFree(group->validity);
    PyMem_RawFree(group->starts);
    PyMem_RawFree(group->ends);
}
