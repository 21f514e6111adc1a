/* Spans as bytes, and bytes as columns: what `packed_spans.py` does, for plain spans, at a fraction of its cost.

   Theory of operation. `Packer.pack` copies the values of an ended span into one bytes object, on the application's
   thread. It reads objects by attributes and C functions that run no code of theirs, keeps no reference to them, and
   returns None for whatever is not plain (a failure, an event that tells something, a value of an own type, a shape it
   has not been taught): Python then packs that span in its own way. `columns` gives many packed spans by columns, on
   the writer's thread and mostly without the GIL. A column is its distinct values and a code for each row: values of
   attributes repeat, and what repeats is converted once.

   A packed span is a `Header`, then the five values of LEADING, then one for each attribute of its shape. A value is a
   tag and what the tag says. Equal values of equal types are equal bytes, so that bytes are compared, never objects.
   The bytes never leave the process. `pack` and `unpack` run under the GIL, which is what guards the table of shapes.
   Every function works without this file, too; `packed_spans.py` looks whether it is there. */

#include "_packed.h"

size_t value_size(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at), size;
    uint16_t length;
    if (left < 1)
        return 0;
    switch ((enum tag)*at) {
    case NONE:
    case YES:
    case NO:
        return 1;
    case SMALL:
        size = 2;
        break;
    case INTEGER:
    case REAL:
        size = 9;
        break;
    case ASCII:
    case TEXT_1:
    case TEXT_2:
    case TEXT_4:
    case MARSHALLED:
        if (left < 3)
            return 0;
        memcpy(&length, at + 1, sizeof length);
        size = 3 + (size_t)length;
        break;
    default:
        return 0;
    }
    return size <= left ? size : 0;
}

PyObject *read_value(const uint8_t *at, size_t size)
{
    int64_t integer;
    double real;
    const char *text = (const char *)at + 3;
    switch ((enum tag)*at) {
    case NONE:
        Py_RETURN_NONE;
    case YES:
        Py_RETURN_TRUE;
    case NO:
        Py_RETURN_FALSE;
    case SMALL:
        return PyLong_FromLong(at[1]);
    case INTEGER:
        memcpy(&integer, at + 1, sizeof integer);
        return PyLong_FromLongLong(integer);
    case REAL:
        memcpy(&real, at + 1, sizeof real);
        return PyFloat_FromDouble(real);
    case ASCII:
    case TEXT_1:
        return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, (Py_ssize_t)(size - 3));
    case TEXT_2:
        return PyUnicode_FromKindAndData(PyUnicode_2BYTE_KIND, text, (Py_ssize_t)(size - 3) / 2);
    case TEXT_4:
        return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, text, (Py_ssize_t)(size - 3) / 4);
    case MARSHALLED:
        return PyMarshal_ReadObjectFromString(text, (Py_ssize_t)(size - 3));
    }
    PyErr_SetString(PyExc_ValueError, "not a packed value");
    return NULL;
}

int read_header(PyObject *packed, Header *header)
{
    if (!PyBytes_CheckExact(packed) || PyBytes_GET_SIZE(packed) < (Py_ssize_t)sizeof *header ||
        PyBytes_AS_STRING(packed)[0] != MAGIC) {
        PyErr_SetString(PyExc_ValueError, "not a packed span");
        return -1;
    }
    memcpy(header, PyBytes_AS_STRING(packed), sizeof *header);
    return 0;
}

static PyObject *id_from_bytes(const uint8_t *bytes, int size)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_FromUnsignedNativeBytes(bytes, size, Py_ASNATIVEBYTES_BIG_ENDIAN);
#else
    return _PyLong_FromByteArray(bytes, size, 0, 0);
#endif
}

/* The places of a shaped span: see `shaped_spans.py`. The places of its leading values, as they are packed: */
static const int LEADING_PLACES[LEADING] = {4, 10, 7, 9, 11};
#define FIRST_VALUE 12

static PyObject *unpack(PyObject *Py_UNUSED(module), PyObject *packed)
{
    Header header;
    if (read_header(packed, &header) < 0)
        return NULL;
    const uint8_t *at = (uint8_t *)PyBytes_AS_STRING(packed), *end = at + PyBytes_GET_SIZE(packed);
    at += sizeof header;
    if (header.values > (size_t)(end - at)) {
        PyErr_SetString(PyExc_ValueError, "not a packed span");
        return NULL;
    }
    PyObject *span = PyTuple_New(FIRST_VALUE + (Py_ssize_t)header.values);
    if (span == NULL)
        return NULL;
    PyTuple_SET_ITEM(span, 0, PyLong_FromUnsignedLong(header.shape));
    PyTuple_SET_ITEM(span, 1, id_from_bytes(header.trace_id, TRACE_ID_BYTES));
    PyTuple_SET_ITEM(span, 2, id_from_bytes(header.span_id, SPAN_ID_BYTES));
    PyTuple_SET_ITEM(span, 3, is_zero(header.parent, SPAN_ID_BYTES) ? Py_NewRef(Py_None)
                                                                    : id_from_bytes(header.parent, SPAN_ID_BYTES));
    PyTuple_SET_ITEM(span, 5, PyLong_FromLongLong(header.start_ns));
    PyTuple_SET_ITEM(span, 6, PyLong_FromLongLong(header.end_ns));
    PyTuple_SET_ITEM(span, 8, PyTuple_New(0));
    for (size_t value = 0; value < LEADING + header.values && !PyErr_Occurred(); value++) {
        size_t size = value_size(at, end);
        size_t place = value < LEADING ? (size_t)LEADING_PLACES[value] : FIRST_VALUE + value - LEADING;
        if (size == 0)
            PyErr_SetString(PyExc_ValueError, "not a packed span");
        else
            PyTuple_SET_ITEM(span, (Py_ssize_t)place, read_value(at, size));
        at += size;
    }
    if (PyErr_Occurred())
        Py_CLEAR(span);
    return span;
}

static PyMethodDef functions[] = {
    {"columns", columns, METH_O, "Return packed spans by shape, and each shape's by columns."},
    {"unpack", unpack, METH_O, "Return the values of a packed span."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tracecanary.collector._packed",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__packed(void)
{
    PyObject *created = PyModule_Create(&module), *text = NULL;
    PyObject *type = created == NULL ? NULL : packer_type();
    if (type == NULL || PyModule_AddObjectRef(created, "Packer", type) < 0 ||
        (text = PyUnicode_FromString("tracecanary")) == NULL)
        Py_CLEAR(created);
    else
        set_hash_seed((uint64_t)PyObject_Hash(text)); /* Python seeds the hash of a text at random */
    Py_XDECREF(text);
    Py_XDECREF(type);
    return created;
}
