/* Spans as bytes, and bytes as columns: what `packed_spans.py` and `otlp_columns.py` do, for plain spans, at a fraction
   of their cost.

   Theory of operation. `Packer.pack` copies the values of an ended span into one bytes object, on the application's
   thread. It reads objects by attributes and C functions that run no code of theirs, keeps no reference to them, and
   returns None for whatever is not plain (a failure, an event that tells something, a value of an own type, a shape it
   has not been taught): Python then packs that span in its own way. `columns` gives many packed spans by columns, on
   the writer's thread and mostly without the GIL. A column is its distinct values and a code for each row: values of
   attributes repeat, and what repeats is converted once.

   A packed span is a `Header`, then the five values of LEADING, then one for each attribute of its shape. A value is a
   tag and what the tag says. Equal values of equal types are equal bytes, so that bytes are compared, never objects.
   The bytes never leave the process. `pack` runs under the GIL, which is what guards the table of shapes. `scan` gives
   the same columns of OTLP requests, straight from the bytes on the wire: see `_packed_otlp.c`. Everything works
   without this file, too; the modules in Python look whether it is there. */

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

static PyObject *read_packed(const uint8_t *at, size_t size)
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

static enum plain plain_packed(const uint8_t *at, size_t size, int64_t *number, Bytes *text)
{
    switch ((enum tag)*at) {
    case SMALL:
        *number = at[1];
        return NUMBER;
    case INTEGER:
        memcpy(number, at + 1, sizeof *number);
        return NUMBER;
    case ASCII:
        *text = (Bytes){at + 3, at + size};
        return TEXT;
    default:
        return NEITHER;
    }
}

const Form packed_form = {read_packed, plain_packed};

static PyMethodDef functions[] = {
    {"columns", columns, METH_O, "Return packed spans by shape, and each shape's by columns."},
    {"scan", scan, METH_VARARGS, "Return the spans of OTLP requests by columns; None leaves them to another decoder."},
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
