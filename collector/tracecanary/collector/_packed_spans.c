/* The first half of `_packed.c`: from ended spans to bytes. Every function returns -1 for what is not plain, with or
   without an exception set. */

#include "_packed.h"

#define MARSHAL_VERSION 2
#define MAX_SHAPES 1024
#define MAX_ATTRIBUTES 256 /* the SDK keeps 128 */
#define SLOTS (4 * MAX_SHAPES)
#define STATUS_ERROR 2

/* Interned once: attributes of the SDK's objects. */
#define NAMES(X)                                                                                                       \
    X(_context) X(_parent) X(_instrumentation_scope) X(_resource) X(_attributes) X(_events) X(_dq) X(_dict) X(dropped) \
    X(_kind) X(_name) X(_version) X(_start_time) X(_end_time) X(_status) X(_status_code) X(_value_) X(to_header)
#define DECLARE(name) static PyObject *str_##name;
NAMES(DECLARE)

/* The API for integers of many bytes became public, and another one, in 3.13: see `id_from_bytes`, too. */
static int id_to_bytes(PyObject *id, uint8_t *bytes, int size)
{
    if (!PyLong_Check(id))
        return -1;
#if PY_VERSION_HEX >= 0x030D0000
    int flags = Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER | Py_ASNATIVEBYTES_REJECT_NEGATIVE;
    Py_ssize_t needed = PyLong_AsNativeBytes(id, bytes, size, flags);
    return needed < 0 || needed > size ? -1 : 0;
#else
    return _PyLong_AsByteArray((PyLongObject *)id, bytes, size, 0, 0);
#endif
}

typedef struct {
    size_t used, limit;
    uint8_t bytes[8192]; /* what is longer holds a value that is too long, which Python cuts */
} Buffer;

static int put(Buffer *buffer, const void *bytes, size_t size)
{
    if (size > buffer->limit - buffer->used)
        return -1;
    memcpy(buffer->bytes + buffer->used, bytes, size);
    buffer->used += size;
    return 0;
}

static int put_sized(Buffer *buffer, enum tag tag, const void *bytes, size_t size)
{
    uint8_t head[3] = {(uint8_t)tag};
    uint16_t length = (uint16_t)size;
    if (size > buffer->limit)
        return -1;
    memcpy(head + 1, &length, sizeof length);
    return put(buffer, head, sizeof head) < 0 ? -1 : put(buffer, bytes, size);
}

static int put_fixed(Buffer *buffer, enum tag tag, const void *bytes)
{
    uint8_t value[9] = {(uint8_t)tag};
    memcpy(value + 1, bytes, 8);
    return put(buffer, value, sizeof value);
}

static int put_tag(Buffer *buffer, enum tag tag)
{
    uint8_t byte = (uint8_t)tag;
    return put(buffer, &byte, 1);
}

static int put_text(Buffer *buffer, PyObject *text)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0)
        return -1;
#endif
    int kind = PyUnicode_KIND(text);
    enum tag tag = PyUnicode_IS_ASCII(text) ? ASCII : kind == 1 ? TEXT_1 : kind == 2 ? TEXT_2 : TEXT_4;
    return put_sized(buffer, tag, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text) * kind);
}

static int put_integer(Buffer *buffer, PyObject *number)
{
    int overflow = 0;
    int64_t value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow || (value == -1 && PyErr_Occurred()))
        return -1;
    if (value < 0 || value > UINT8_MAX)
        return put_fixed(buffer, INTEGER, &value);
    uint8_t small[2] = {SMALL, (uint8_t)value};
    return put(buffer, small, sizeof small);
}

static int is_atom(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type ||
           value == Py_None;
}

/* Of lists and tuples only flat ones: to marshal another object may run its code. */
static int put_sequence(Buffer *buffer, PyObject *sequence)
{
    for (Py_ssize_t index = 0; index < PySequence_Fast_GET_SIZE(sequence); index++)
        if (!is_atom(PySequence_Fast_GET_ITEM(sequence, index)))
            return -1;
    PyObject *bytes = PyMarshal_WriteObjectToString(sequence, MARSHAL_VERSION);
    if (bytes == NULL)
        return -1;
    int result = put_sized(buffer, MARSHALLED, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return result;
}

static int put_value(Buffer *buffer, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type)
        return put_text(buffer, value);
    if (type == &PyLong_Type)
        return put_integer(buffer, value);
    if (type == &PyFloat_Type) {
        double number = PyFloat_AS_DOUBLE(value);
        return put_fixed(buffer, REAL, &number);
    }
    if (value == Py_None)
        return put_tag(buffer, NONE);
    if (type == &PyBool_Type)
        return put_tag(buffer, value == Py_True ? YES : NO);
    if (type == &PyTuple_Type || type == &PyList_Type)
        return put_sequence(buffer, value);
    return -1;
}

/* What spans of one shape share. References are held, so that no other object gets the address of one. */
typedef struct {
    size_t hash;
    uint32_t number;
    PyObject *names, *kind, *scope, *scope_name, *scope_version, *resource;
} Shape;

typedef struct {
    PyObject_HEAD
    PyObject *kept_events;
    uint32_t shapes_used;
    Shape shapes[MAX_SHAPES]; /* never moved: a second thread may look while one adds */
    uint16_t slots[SLOTS];    /* a place in `shapes`, plus 1 */
} Packer;

/* The attributes of a span, borrowed: to be collected anew after anything that may have run Python code. */
typedef struct {
    Py_ssize_t size;
    size_t hash; /* of the names */
    PyObject *names[MAX_ATTRIBUTES], *values[MAX_ATTRIBUTES];
} Attributes;

static int collect(Attributes *attributes, PyObject *from)
{
    Py_ssize_t size = 0;
    size_t hash = (size_t)PyDict_GET_SIZE(from);
    PyObject *name, *value;
    if (PyDict_GET_SIZE(from) > MAX_ATTRIBUTES)
        return -1;
    for (Py_ssize_t at = 0; PyDict_Next(from, &at, &name, &value); size++) {
        if (!PyUnicode_CheckExact(name))
            return -1;
        hash = (hash ^ (size_t)PyObject_Hash(name)) * (size_t)0x9E3779B97F4A7C15u;
        hash ^= hash >> (4 * sizeof hash);
        attributes->names[size] = name;
        attributes->values[size] = value;
    }
    attributes->size = size;
    attributes->hash = hash;
    return 0;
}

static int has_names(const Shape *shape, const Attributes *attributes)
{
    if (shape->hash != attributes->hash || PyTuple_GET_SIZE(shape->names) != attributes->size)
        return 0;
    for (Py_ssize_t index = 0; index < attributes->size; index++) {
        PyObject *name = attributes->names[index], *known = PyTuple_GET_ITEM(shape->names, index);
        if (name != known && PyUnicode_Compare(name, known) != 0)
            return 0;
    }
    return 1;
}

static int is_same_text(PyObject *one, PyObject *other)
{
    if (one == other)
        return 1;
    return one != NULL && other != NULL && PyUnicode_CheckExact(one) && PyUnicode_CheckExact(other) &&
           PyUnicode_Compare(one, other) == 0;
}

/* An application may ask for its tracer, and so get a new scope, at every request. To ask one for its name could run
   Python code, and does not for any that the SDK has made. */
static int is_same_scope(const Shape *shape, PyObject *scope)
{
    if (shape->scope == scope)
        return 1;
    if (shape->scope == Py_None || Py_TYPE(scope) != Py_TYPE(shape->scope))
        return 0;
    PyObject *name = PyObject_GetAttr(scope, str__name);
    PyObject *version = name == NULL ? NULL : PyObject_GetAttr(scope, str__version);
    int is_same = is_same_text(shape->scope_name, name) && is_same_text(shape->scope_version, version);
    Py_XDECREF(name);
    Py_XDECREF(version);
    PyErr_Clear();
    return is_same;
}

static const Shape *find_shape(const Packer *self, const Attributes *attributes, PyObject *kind, PyObject *scope,
                               PyObject *resource)
{
    for (size_t slot = attributes->hash % SLOTS; self->slots[slot]; slot = (slot + 1) % SLOTS) {
        const Shape *shape = &self->shapes[self->slots[slot] - 1];
        if (shape->kind == kind && shape->resource == resource && has_names(shape, attributes) &&
            is_same_scope(shape, scope))
            return shape;
    }
    return NULL;
}

static int put_path(Buffer *buffer, PyObject *object, PyObject *first, PyObject *second)
{
    PyObject *inner = PyObject_GetAttr(object, first);
    PyObject *value = inner == NULL ? NULL : PyObject_GetAttr(inner, second);
    int result = value == NULL || !PyLong_CheckExact(value) ? -1 : put_integer(buffer, value);
    if (result == 0 && second == str__value_ && PyLong_AsLong(value) == STATUS_ERROR)
        result = -1;
    Py_XDECREF(inner);
    Py_XDECREF(value);
    return result;
}

static int put_trace_state(Buffer *buffer, PyObject *trace_state)
{
    PyObject *entries = PyObject_GetAttr(trace_state, str__dict);
    if (entries == NULL)
        return -1;
    int is_empty = PyDict_Check(entries) && PyDict_GET_SIZE(entries) == 0;
    Py_DECREF(entries);
    if (is_empty)
        return put_sized(buffer, ASCII, "", 0);
    PyObject *header = PyObject_CallMethodNoArgs(trace_state, str_to_header);
    int result = header != NULL && PyUnicode_CheckExact(header) ? put_text(buffer, header) : -1;
    Py_XDECREF(header);
    return result;
}

static int put_leading(Buffer *buffer, PyObject *span, PyObject *bounded, PyObject *context)
{
    PyObject *name = PyObject_GetAttr(span, str__name);
    int result = name != NULL && PyUnicode_CheckExact(name) ? put_text(buffer, name) : -1;
    Py_XDECREF(name);
    if (result < 0 || put_trace_state(buffer, PyTuple_GET_ITEM(context, 4)) < 0)
        return -1;
    PyObject *status = PyObject_GetAttr(span, str__status);
    result = status == NULL ? -1 : put_path(buffer, status, str__status_code, str__value_);
    Py_XDECREF(status);
    if (result < 0)
        return -1;
    long flags = PyLong_AsLong(PyTuple_GET_ITEM(context, 3));
    if ((flags == -1 && PyErr_Occurred()) || put_tag(buffer, flags & 1 ? YES : NO) < 0)
        return -1;
    PyObject *dropped = PyObject_GetAttr(bounded, str_dropped);
    result = dropped != NULL && PyLong_CheckExact(dropped) ? put_integer(buffer, dropped) : -1;
    Py_XDECREF(dropped);
    return result;
}

static int read_time(PyObject *span, PyObject *name, int64_t *time_ns)
{
    PyObject *value = PyObject_GetAttr(span, name);
    int overflow = -1;
    if (value != NULL && PyLong_CheckExact(value))
        *time_ns = PyLong_AsLongLongAndOverflow(value, &overflow);
    Py_XDECREF(value);
    return overflow || *time_ns < 0 ? -1 : 0;
}

static int read_ids(PyObject *span, PyObject *context, Header *header)
{
    if (id_to_bytes(PyTuple_GET_ITEM(context, 0), header->trace_id, TRACE_ID_BYTES) < 0 ||
        id_to_bytes(PyTuple_GET_ITEM(context, 1), header->span_id, SPAN_ID_BYTES) < 0 ||
        is_zero(header->trace_id, TRACE_ID_BYTES) || is_zero(header->span_id, SPAN_ID_BYTES))
        return -1;
    PyObject *parent = PyObject_GetAttr(span, str__parent);
    int result = -1;
    if (parent == Py_None)
        result = 0;
    else if (parent != NULL && PyTuple_Check(parent) && PyTuple_GET_SIZE(parent) == 6)
        result = id_to_bytes(PyTuple_GET_ITEM(parent, 1), header->parent, SPAN_ID_BYTES);
    Py_XDECREF(parent);
    return result;
}

/* Tells whether none of the events is one that is kept. */
static int are_events_plain(const Packer *self, PyObject *span)
{
    PyObject *events = PyObject_GetAttr(span, str__events);
    PyObject *ended = events == NULL ? NULL : PyObject_GetAttr(events, str__dq);
    Py_ssize_t size = ended == NULL ? -1 : PyObject_Size(ended);
    int is_plain = size >= 0;
    for (Py_ssize_t index = 0; is_plain && index < size; index++) {
        PyObject *event = PySequence_GetItem(ended, index);
        PyObject *name = event == NULL ? NULL : PyObject_GetAttr(event, str__name);
        is_plain = name != NULL && PyUnicode_CheckExact(name) && PySet_Contains(self->kept_events, name) == 0;
        Py_XDECREF(name);
        Py_XDECREF(event);
    }
    Py_XDECREF(events);
    Py_XDECREF(ended);
    return is_plain;
}

/* Puts the values of the attributes, and gives the number of their shape. */
static int put_attributes(const Packer *self, Buffer *buffer, PyObject *span, PyObject *from, Header *header)
{
    Attributes attributes;
    int result = -1;
    PyObject *kind = PyObject_GetAttr(span, str__kind);
    PyObject *scope = kind == NULL ? NULL : PyObject_GetAttr(span, str__instrumentation_scope);
    PyObject *resource = scope == NULL ? NULL : PyObject_GetAttr(span, str__resource);
    if (resource == NULL || collect(&attributes, from) < 0)
        goto done;
    const Shape *shape = find_shape(self, &attributes, kind, scope, resource);
    /* The scope may have been asked for its name: see `is_same_scope`. */
    if (shape == NULL || (shape->scope != scope && (collect(&attributes, from) < 0 || !has_names(shape, &attributes))))
        goto done;
    header->shape = shape->number;
    header->values = (uint32_t)attributes.size;
    result = 0;
    for (Py_ssize_t index = 0; index < attributes.size && result == 0; index++)
        result = put_value(buffer, attributes.values[index]);
done:
    Py_XDECREF(kind);
    Py_XDECREF(scope);
    Py_XDECREF(resource);
    return result;
}

static int put_span(const Packer *self, Buffer *buffer, PyObject *span)
{
    Header header = {.magic = MAGIC};
    PyObject *context = PyObject_GetAttr(span, str__context), *attributes = NULL;
    PyObject *bounded = context == NULL ? NULL : PyObject_GetAttr(span, str__attributes);
    int result = -1;
    buffer->used = sizeof header;
    if (bounded == NULL || !PyTuple_Check(context) || PyTuple_GET_SIZE(context) != 6)
        goto done;
    attributes = PyObject_GetAttr(bounded, str__dict);
    if (attributes == NULL || !PyDict_CheckExact(attributes) || !are_events_plain(self, span) ||
        read_ids(span, context, &header) < 0 || read_time(span, str__start_time, &header.start_ns) < 0 ||
        read_time(span, str__end_time, &header.end_ns) < 0 || put_leading(buffer, span, bounded, context) < 0 ||
        put_attributes(self, buffer, span, attributes, &header) < 0)
        goto done;
    memcpy(buffer->bytes, &header, sizeof header);
    result = 0;
done:
    Py_XDECREF(context);
    Py_XDECREF(bounded);
    Py_XDECREF(attributes);
    return result;
}

static PyObject *Packer_pack(PyObject *self, PyObject *span)
{
    Buffer buffer;
    buffer.limit = sizeof buffer.bytes;
    if (put_span((Packer *)self, &buffer, span) == 0)
        return PyBytes_FromStringAndSize((char *)buffer.bytes, (Py_ssize_t)buffer.used);
    /* What the Python code would not catch either, such as an interrupt, is none of ours. */
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyObject *Packer_learn(PyObject *object, PyObject *args)
{
    Packer *self = (Packer *)object;
    PyObject *from, *kind, *scope, *resource;
    unsigned int number;
    Attributes attributes;
    if (!PyArg_ParseTuple(args, "O!OOOI", &PyDict_Type, &from, &kind, &scope, &resource, &number))
        return NULL;
    PyObject *name = Py_NewRef(Py_None), *version = Py_NewRef(Py_None);
    if (scope != Py_None) {
        Py_SETREF(name, PyObject_GetAttr(scope, str__name));
        Py_SETREF(version, name == NULL ? NULL : PyObject_GetAttr(scope, str__version));
    }
    PyObject *names = version == NULL ? NULL : PySequence_Tuple(from);
    /* Nothing below runs Python code, so that no other thread adds a shape meanwhile. */
    if (names == NULL || self->shapes_used >= MAX_SHAPES || collect(&attributes, from) < 0) {
        Py_XDECREF(name);
        Py_XDECREF(version);
        Py_XDECREF(names);
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_FALSE;
    }
    self->shapes[self->shapes_used] = (Shape){
        .hash = attributes.hash,
        .number = number,
        .names = names,
        .kind = Py_NewRef(kind),
        .scope = Py_NewRef(scope),
        .scope_name = name,
        .scope_version = version,
        .resource = Py_NewRef(resource),
    };
    size_t slot = attributes.hash % SLOTS;
    while (self->slots[slot])
        slot = (slot + 1) % SLOTS;
    self->slots[slot] = (uint16_t)++self->shapes_used;
    Py_RETURN_TRUE;
}

static PyObject *Packer_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"kept_events", NULL};
    PyObject *kept_events;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!", names, &PyFrozenSet_Type, &kept_events))
        return NULL;
    Packer *self = (Packer *)type->tp_alloc(type, 0); /* which fills it with zeros */
    if (self != NULL)
        self->kept_events = Py_NewRef(kept_events);
    return (PyObject *)self;
}

static void Packer_dealloc(PyObject *object)
{
    Packer *self = (Packer *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (uint32_t index = 0; index < self->shapes_used; index++) {
        Shape *shape = &self->shapes[index];
        Py_DECREF(shape->names);
        Py_DECREF(shape->kind);
        Py_DECREF(shape->scope);
        Py_DECREF(shape->scope_name);
        Py_DECREF(shape->scope_version);
        Py_DECREF(shape->resource);
    }
    Py_XDECREF(self->kept_events);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef packer_methods[] = {
    {"pack", Packer_pack, METH_O, "Return the values of an ended span as bytes; None when it is not plain."},
    {"learn", Packer_learn, METH_VARARGS, "Give the number of spans with these attributes, kind, scope and resource."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot packer_slots[] = {
    {Py_tp_new, Packer_new},
    {Py_tp_dealloc, Packer_dealloc},
    {Py_tp_methods, packer_methods},
    {Py_tp_doc, "Packs plain spans of the shapes it has learnt."},
    {0, NULL},
};
static PyType_Spec packer_spec = {
    .name = "tracecanary.collector._packed.Packer",
    .basicsize = sizeof(Packer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = packer_slots,
};

PyObject *packer_type(void)
{
#define INTERN(name)                                                                                                   \
    if (str_##name == NULL && (str_##name = PyUnicode_InternFromString(#name)) == NULL)                                \
        return NULL;
    NAMES(INTERN)
    return PyType_FromSpec(&packer_spec);
}
