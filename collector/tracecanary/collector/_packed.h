/* What the files of `_packed` share: the layout of a packed span. See `_packed.c`. */

#ifndef TRACECANARY_PACKED_H
#define TRACECANARY_PACKED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <marshal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Marshalled tuples, the other kind of packed span, begin with "(". */
#define MAGIC 1
/* name, trace state, status, is_sampled, dropped attributes */
#define LEADING 5
#define TRACE_ID_BYTES 16
#define SPAN_ID_BYTES 8

enum tag {
    NONE = 'N',
    YES = 'T',
    NO = 'F',
    SMALL = 'b',   /* an integer of one byte, 0 to 255 */
    INTEGER = 'i', /* any other of 64 bits, signed */
    REAL = 'd',
    ASCII = 'a', /* text: 16 bits of length in bytes, then as Python holds it */
    TEXT_1 = '1',
    TEXT_2 = '2',
    TEXT_4 = '4',
    MARSHALLED = 'm', /* 16 bits of length, then a list or tuple by `marshal` */
};

typedef struct {
    uint8_t magic;
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    uint8_t parent[SPAN_ID_BYTES]; /* zero when there is none */
    int64_t start_ns, end_ns;
    uint32_t shape;
    uint32_t values; /* of attributes */
} Header;

typedef struct {
    const uint8_t *at, *end;
} Bytes;

static inline int is_zero(const uint8_t *bytes, int size)
{
    uint8_t any = 0;
    for (int i = 0; i < size; i++)
        any |= bytes[i];
    return !any;
}

/* Hidden, or another library that has a function of this name would be called instead. */
#pragma GCC visibility push(hidden)

/* A form in which values are written: how to read one that was checked before. */
typedef struct {
    /* Returns a new reference, NULL with an exception set. */
    PyObject *(*read)(const uint8_t *at, size_t size);
    /* Gives the number, or the UTF-8 text, of a value that is one. */
    enum plain { NEITHER, NUMBER, TEXT } (*plain)(const uint8_t *at, size_t size, int64_t *number, Bytes *text);
} Form;

extern const Form packed_form;

/* Returns the bytes of the packed value at `at`, 0 if it does not end before `end`. */
size_t value_size(const uint8_t *at, const uint8_t *end);

/* Values that collide must not be foreseen: the seed is another one in each process. */
void set_hash_seed(uint64_t seed);
uint64_t hash_bytes(const uint8_t *at, size_t size);

/* There may be millions: small, for the sake of memory. */
typedef struct {
    const uint8_t *at;
    uint32_t size, hash;
} Value;

/* The values of one column: distinct ones in the order in which they came, and a code for each row. Most columns have
   one value, for which nothing is allocated. */
typedef struct {
    const Form *form;
    Value only;      /* while there is one */
    Value *values;   /* NULL while there is one, like the others */
    uint32_t *slots; /* an index of `values`, plus 1 */
    int32_t *codes;
    uint32_t used, capacity, rows_capacity;
    uint32_t last; /* code of the row before: a value is mostly the one before */
} Column;

/* Adds the value of the row after the last one, whose bytes must stay; returns its code, -1 without memory. */
int64_t add_value(Column *column, uint32_t row, const uint8_t *at, size_t size);
const Value *value_at(const Column *column, uint32_t code);
/* Returns a new reference to what `_packed.pyi` calls a `Column`. */
PyObject *column_result(const Column *column, uint32_t rows);
void end_column(Column *column);

/* Spans of one shape. */
typedef struct {
    uint32_t rows, capacity, columns;
    Column *column;
    uint8_t *trace_ids, *span_ids, *parents; /* as digits */
    uint8_t *validity;                       /* a bit for each parent */
    int64_t *starts, *ends;
    int has_root;
} Group;

/* Returns -1 without memory; the columns have no form yet. */
int start_group(Group *group, uint32_t columns);
/* Adds ids and times, and no values; returns -1 without memory. */
int add_row(Group *group, const Header *header);
/* Returns a new reference to what `_packed.pyi` calls `Columns`. */
PyObject *group_result(const Group *group, uint32_t shape);
void end_group(Group *group);

/* Makes room for `count` things of `size` bytes in the array that `array` points to; returns -1 without memory. */
int reserve(void *array, uint32_t *capacity, size_t count, size_t size);

PyObject *columns(PyObject *module, PyObject *packed);
PyObject *scan(PyObject *module, PyObject *args);

/* Returns a new reference to the type `Packer`, NULL with an exception set when it can't be made. */
PyObject *packer_type(void);

#pragma GCC visibility pop

#endif
