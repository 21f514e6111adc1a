/* OTLP trace requests to columns, for `otlp_scan.py`: spans that hold nothing but attributes to read by shape, and
   where the bytes of the others lie.

   Theory of operation. One pass over the bytes, without the GIL. A span is taken apart into slices of its request. The
   names of its attributes, with kind, resource and scope, find its shape; the bytes of each value are a row of that
   shape's column, and become objects only when all requests are read, once for each distinct value. Whatever a full
   decoder might read in another way stops the scan: all requests are then left to that decoder. */

#include "_packed_otlp.h"

#define MAX_REQUEST_BYTES (1 << 30)
#define SMALL_NUMBERS 256
/* See `otlp.is_sampled`. */
#define W3C_FLAGS 0xFF
#define SAMPLED 1

/* A slice of one of the requests. */
typedef struct {
    uint32_t request, start, size;
} Slice;

typedef struct {
    uint32_t resource, scope;
    Slice span;
} Single;

typedef struct {
    uint32_t shape, row;
    Slice event;
} Judgement;

typedef struct {
    EventNames events;
    Column resources, scopes; /* serialised, each as they come */
    uint32_t resources_size, scopes_size;
    Shapes shapes;
    Single *singles;
    uint32_t singles_size, singles_capacity;
    Judgement *judgements;
    uint32_t judgements_size, judgements_capacity;
    uint8_t numbers[SMALL_NUMBERS][2]; /* packed */
    uint32_t request;                  /* which one is read */
    const uint8_t *start;              /* its first byte */
    Span span;
} Scan;

static const uint8_t nothing[1];

static Slice slice_of(const Scan *scan, Bytes bytes)
{
    return (Slice){scan->request, (uint32_t)(bytes.at - scan->start), (uint32_t)size_of(bytes)};
}

/* Adds an attribute; what other spans have told before is not checked again. */
static enum outcome add_attribute(Column *column, uint32_t row, Bytes value)
{
    uint32_t used = column->used;
    if (add_value(column, row, value.at, size_of(value)) < 0)
        return NO_MEMORY;
    return column->used > used && check_any_value(value) < 0 ? REFUSED : READ;
}

/* Adds a row; name, trace state, status, whether it is sampled, dropped attributes come first. */
static enum outcome add_span(Scan *scan, uint32_t resource, uint32_t scope)
{
    static const uint8_t sampled[] = {NO, YES};
    const Span *span = &scan->span;
    const uint8_t *status = scan->numbers[span->status], *dropped = scan->numbers[span->dropped];
    const uint8_t *is_sampled = &sampled[!(span->flags & W3C_FLAGS) || span->flags & SAMPLED];
    const Bytes leading[LEADING] = {
        span->name, span->trace_state, {status, status + 2}, {is_sampled, is_sampled + 1}, {dropped, dropped + 2},
    };
    Header header = {.start_ns = (int64_t)span->start_ns, .end_ns = (int64_t)span->end_ns};
    Shape *shape;
    enum outcome outcome = next_shape(&scan->shapes, span, resource, scope, &shape);
    if (outcome != READ)
        return outcome;
    memcpy(header.trace_id, span->trace_id.at, TRACE_ID_BYTES);
    memcpy(header.span_id, span->span_id.at, SPAN_ID_BYTES);
    memcpy(header.parent, span->parent.at, size_of(span->parent));
    uint32_t row = shape->group.rows;
    if (add_row(&shape->group, &header) < 0)
        return NO_MEMORY;
    for (uint32_t column = 0; column < LEADING; column++)
        if (add_value(&shape->group.column[column], row, leading[column].at, size_of(leading[column])) < 0)
            return NO_MEMORY;
    for (uint32_t index = 0; index < span->size && outcome == READ; index++)
        outcome = add_attribute(&shape->group.column[LEADING + index], row, span->values[index]);
    if (outcome != READ)
        return outcome;
    if (reserve(&scan->judgements, &scan->judgements_capacity, (size_t)scan->judgements_size + span->judgements,
                sizeof *scan->judgements) < 0)
        return NO_MEMORY;
    for (uint32_t index = 0; index < span->judgements; index++)
        scan->judgements[scan->judgements_size++] =
            (Judgement){(uint32_t)(shape - scan->shapes.shape), row, slice_of(scan, span->judgement[index])};
    return READ;
}

static enum outcome scan_span(Scan *scan, uint32_t resource, uint32_t scope, Bytes message)
{
    enum outcome outcome = read_span(&scan->span, message, &scan->events);
    if (outcome == READ)
        outcome = add_span(scan, resource, scope);
    if (outcome != ODD)
        return outcome;
    if (reserve(&scan->singles, &scan->singles_capacity, (size_t)scan->singles_size + 1, sizeof *scan->singles) < 0)
        return NO_MEMORY;
    scan->singles[scan->singles_size++] = (Single){resource, scope, slice_of(scan, message)};
    return READ;
}

/* Gives the message in field 1, which may come after the list in field 2. */
static Bytes find_context(Bytes message)
{
    Field field;
    while (next_field(&message, &field) > 0)
        if (field.number == 1)
            return field.type == LENGTH ? field.bytes : (Bytes){nothing, nothing};
    return (Bytes){nothing, nothing};
}

/* Takes the next message off a list in field 2. Returns 1, at the end 0, and -1 for damage, and for two contexts. */
static int next_item(Bytes *message, int *contexts, Bytes *item)
{
    Field field;
    int more;
    while ((more = next_field(message, &field)) > 0) {
        if (field.number <= 2 && (field.type != LENGTH || (field.number == 1 && (*contexts)++)))
            return -1;
        *item = field.bytes;
        if (field.number == 2)
            break;
    }
    return more;
}

static enum outcome scan_scope(Scan *scan, uint32_t resource, Bytes message, uint32_t *spans)
{
    Bytes context = find_context(message), item;
    int64_t scope = add_value(&scan->scopes, scan->scopes_size++, context.at, size_of(context));
    enum outcome outcome = scope < 0 ? NO_MEMORY : READ;
    int more = 0, contexts = 0;
    while (outcome == READ && (more = next_item(&message, &contexts, &item)) > 0) {
        outcome = scan_span(scan, resource, (uint32_t)scope, item);
        ++*spans;
    }
    return more < 0 ? REFUSED : outcome;
}

static enum outcome scan_resource(Scan *scan, Bytes message, uint32_t *spans)
{
    Bytes context = find_context(message), item;
    int64_t resource = add_value(&scan->resources, scan->resources_size++, context.at, size_of(context));
    enum outcome outcome = resource < 0 ? NO_MEMORY : READ;
    int more = 0, contexts = 0;
    while (outcome == READ && (more = next_item(&message, &contexts, &item)) > 0)
        outcome = scan_scope(scan, (uint32_t)resource, item, spans);
    return more < 0 ? REFUSED : outcome;
}

static enum outcome scan_request(Scan *scan, Bytes message, uint32_t *spans)
{
    enum outcome outcome = READ;
    Field field;
    int more = 0;
    scan->start = message.at;
    while (outcome == READ && (more = next_field(&message, &field)) > 0)
        if (field.number == 1)
            outcome = field.type == LENGTH ? scan_resource(scan, field.bytes, spans) : REFUSED;
    return more < 0 ? REFUSED : outcome;
}

static PyObject *shape_result(const Shape *shape)
{
    uint32_t size = shape->group.columns - LEADING;
    PyObject *names = PyTuple_New(size);
    for (uint32_t index = 0; names != NULL && index < size; index++) {
        Bytes text = shape->names[index];
        PyObject *name = text_form.read(text.at, size_of(text));
        if (name == NULL)
            Py_CLEAR(names);
        else
            PyTuple_SET_ITEM(names, index, name);
    }
    return names == NULL ? NULL : Py_BuildValue("(NiII)", names, shape->kind, shape->resource, shape->scope);
}

/* Adds a new reference, which it takes over. */
static int append(PyObject *list, PyObject *item)
{
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

static PyObject *contexts_result(const Column *contexts)
{
    PyObject *serialised = PyList_New(0);
    for (uint32_t code = 0; serialised != NULL && code < contexts->used; code++) {
        const Value *value = value_at(contexts, code);
        if (append(serialised, PyBytes_FromStringAndSize((const char *)value->at, (Py_ssize_t)value->size)) < 0)
            Py_CLEAR(serialised);
    }
    return serialised;
}

static PyObject *scan_result(const Scan *scan, const uint32_t *spans, Py_ssize_t requests)
{
    PyObject *columns = PyList_New(0), *shapes = PyList_New(0), *counts = PyList_New(0);
    PyObject *singles = PyList_New(0), *judgements = PyList_New(0);
    int is_full = columns == NULL || shapes == NULL || counts == NULL || singles == NULL || judgements == NULL;
    for (uint32_t shape = 0; !is_full && shape < scan->shapes.size; shape++)
        is_full = append(columns, group_result(&scan->shapes.shape[shape].group, shape)) < 0 ||
                  append(shapes, shape_result(&scan->shapes.shape[shape])) < 0;
    for (Py_ssize_t request = 0; !is_full && request < requests; request++)
        is_full = append(counts, PyLong_FromUnsignedLong(spans[request])) < 0;
    for (uint32_t index = 0; !is_full && index < scan->singles_size; index++) {
        const Single *single = &scan->singles[index];
        is_full = append(singles, Py_BuildValue("(IIIII)", single->resource, single->scope, single->span.request,
                                                single->span.start, single->span.size)) < 0;
    }
    for (uint32_t index = 0; !is_full && index < scan->judgements_size; index++) {
        const Judgement *one = &scan->judgements[index];
        is_full = append(judgements, Py_BuildValue("(IIIII)", one->shape, one->row, one->event.request,
                                                   one->event.start, one->event.size)) < 0;
    }
    if (!is_full)
        return Py_BuildValue("(NNNNNNN)", columns, shapes, contexts_result(&scan->resources),
                             contexts_result(&scan->scopes), singles, judgements, counts);
    Py_XDECREF(columns);
    Py_XDECREF(shapes);
    Py_XDECREF(counts);
    Py_XDECREF(singles);
    Py_XDECREF(judgements);
    return NULL;
}

static Bytes bytes_of(PyObject *bytes)
{
    const uint8_t *at = (uint8_t *)PyBytes_AS_STRING(bytes);
    return (Bytes){at, at + PyBytes_GET_SIZE(bytes)};
}

/* Tells whether all of a tuple are bytes, and few enough for 32 bits. */
static int are_bytes(PyObject *tuple, Py_ssize_t *size)
{
    *size = 0;
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(tuple); index++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, index);
        if (!PyBytes_CheckExact(item) || PyBytes_GET_SIZE(item) > MAX_REQUEST_BYTES - *size)
            return 0;
        *size += PyBytes_GET_SIZE(item);
    }
    return 1;
}

static enum outcome scan_all(Scan *scan, PyObject *requests, uint32_t *spans)
{
    enum outcome outcome = READ;
    for (int number = 0; number < SMALL_NUMBERS; number++) {
        scan->numbers[number][0] = SMALL;
        scan->numbers[number][1] = (uint8_t)number;
    }
    for (Py_ssize_t index = 0; outcome == READ && index < PyTuple_GET_SIZE(requests); index++) {
        scan->request = (uint32_t)index;
        outcome = scan_request(scan, bytes_of(PyTuple_GET_ITEM(requests, index)), &spans[index]);
    }
    return outcome;
}

static void end_scan(Scan *scan)
{
    end_shapes(&scan->shapes);
    end_column(&scan->resources);
    end_column(&scan->scopes);
    PyMem_RawFree(scan->singles);
    PyMem_RawFree(scan->judgements);
    PyMem_RawFree(scan);
}

PyObject *scan(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const uint16_t one = 1;
    PyObject *requests, *kept, *evaluation, *result = NULL;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "O!O!S", &PyTuple_Type, &requests, &PyTuple_Type, &kept, &evaluation))
        return NULL;
    if (!are_bytes(kept, &size) || PyTuple_GET_SIZE(kept) > MAX_KEPT_EVENTS)
        return PyErr_SetString(PyExc_ValueError, "not the names of events"), NULL;
    if (!*(const uint8_t *)&one || !are_bytes(requests, &size)) /* numbers on the wire are little-endian */
        Py_RETURN_NONE;
    Scan *scan = PyMem_RawCalloc(1, sizeof *scan);
    uint32_t *spans = PyMem_RawCalloc((size_t)PyTuple_GET_SIZE(requests) + 1, sizeof *spans);
    enum outcome outcome = NO_MEMORY;
    if (scan == NULL || spans == NULL)
        goto done;
    scan->events.evaluation = bytes_of(evaluation);
    scan->events.size = (uint32_t)PyTuple_GET_SIZE(kept);
    for (uint32_t index = 0; index < scan->events.size; index++)
        scan->events.kept[index] = bytes_of(PyTuple_GET_ITEM(kept, index));
    Py_BEGIN_ALLOW_THREADS
    outcome = scan_all(scan, requests, spans);
    Py_END_ALLOW_THREADS
    if (outcome == READ)
        result = scan_result(scan, spans, PyTuple_GET_SIZE(requests));
    else if (outcome == REFUSED)
        result = Py_NewRef(Py_None);
done:
    if (outcome == NO_MEMORY)
        PyErr_NoMemory();
    if (scan != NULL)
        end_scan(scan);
    PyMem_RawFree(spans);
    return result;
}
