/* The shapes of spans, for `_packed_otlp.c`: names of attributes, kind, resource and scope. */

#include "_packed_otlp.h"

#define TEXT_COLUMNS 2 /* of the leading ones */

static int is_of_shape(const Span *span, const Shape *shape, uint32_t resource, uint32_t scope)
{
    if (shape->resource != resource || shape->scope != scope || shape->kind != (int32_t)span->kind ||
        shape->group.columns != LEADING + span->size)
        return 0;
    for (uint32_t index = 0; index < span->size; index++)
        if (!is_same(shape->names[index], span->names[index]))
            return 0;
    return 1;
}

/* Returns ODD when a name is there twice. */
static enum outcome check_names(const Span *span)
{
    enum outcome outcome = READ;
    for (uint32_t one = 0; one < span->size; one++) {
        if (!is_utf8(span->names[one]))
            return REFUSED;
        for (uint32_t other = 0; other < one && outcome == READ; other++)
            if (is_same(span->names[one], span->names[other]))
                outcome = ODD;
    }
    return outcome;
}

static enum outcome new_shape(Shapes *shapes, const Span *span, Shape **found)
{
    enum outcome outcome = shapes->size == MAX_SHAPES ? ODD : check_names(span);
    if (outcome != READ)
        return outcome;
    if (reserve(&shapes->shape, &shapes->capacity, (size_t)shapes->size + 1, sizeof *shapes->shape) < 0)
        return NO_MEMORY;
    Shape *shape = *found = &shapes->shape[shapes->size++];
    memset(shape, 0, sizeof *shape);
    shape->names = PyMem_RawMalloc((span->size + 1) * sizeof *shape->names);
    if (shape->names == NULL || start_group(&shape->group, LEADING + span->size) < 0)
        return NO_MEMORY;
    memcpy(shape->names, span->names, span->size * sizeof *shape->names);
    for (uint32_t column = 0; column < shape->group.columns; column++)
        shape->group.column[column].form = column < TEXT_COLUMNS ? &text_form
                                           : column < LEADING    ? &packed_form
                                                                 : &any_value_form;
    return READ;
}

static enum outcome find_shape(Shapes *shapes, const Span *span, uint32_t resource, uint32_t scope, Shape **found)
{
    uint64_t key[] = {resource, scope, span->kind, span->size}, hash = hash_bytes((uint8_t *)key, sizeof key);
    for (uint32_t index = 0; index < span->size; index++)
        hash = 31 * hash + hash_bytes(span->names[index].at, size_of(span->names[index]));
    size_t slot = (size_t)(hash % SLOTS);
    for (; shapes->slots[slot]; slot = (slot + 1) % SLOTS) {
        Shape *shape = *found = &shapes->shape[shapes->slots[slot] - 1];
        if (shape->hash == hash && is_of_shape(span, shape, resource, scope))
            return READ;
    }
    enum outcome outcome = new_shape(shapes, span, found);
    if (outcome != READ)
        return outcome;
    (*found)->hash = hash;
    (*found)->resource = resource;
    (*found)->scope = scope;
    (*found)->kind = (int32_t)span->kind;
    shapes->slots[slot] = (uint16_t)shapes->size;
    return READ;
}

/* Spans come in the order in which an agent works: the shape is mostly the one that came after the last one before. */
enum outcome next_shape(Shapes *shapes, const Span *span, uint32_t resource, uint32_t scope, Shape **found)
{
    uint32_t last = shapes->last, expected = last ? shapes->shape[last - 1].next : 0;
    enum outcome outcome = READ;
    if (expected && is_of_shape(span, &shapes->shape[expected - 1], resource, scope))
        *found = &shapes->shape[expected - 1];
    else
        outcome = find_shape(shapes, span, resource, scope, found);
    if (outcome != READ)
        return outcome;
    shapes->last = (uint32_t)(*found - shapes->shape) + 1;
    if (last)
        shapes->shape[last - 1].next = shapes->last;
    return READ;
}

void end_shapes(Shapes *shapes)
{
    for (uint32_t shape = 0; shape < shapes->size; shape++) {
        end_group(&shapes->shape[shape].group);
        PyMem_RawFree(shapes->shape[shape].names);
    }
    PyMem_RawFree(shapes->shape);
}
