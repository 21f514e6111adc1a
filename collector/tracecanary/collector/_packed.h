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

static inline int is_zero(const uint8_t *bytes, int size)
{
    uint8_t any = 0;
    for (int i = 0; i < size; i++)
        any |= bytes[i];
    return !any;
}

/* Hidden, or another library that has a function of this name would be called instead. */
#pragma GCC visibility push(hidden)

/* Returns the bytes of the value at `at`, 0 if it does not end before `end`. */
size_t value_size(const uint8_t *at, const uint8_t *end);

PyObject *read_value(const uint8_t *at, size_t size);

/* Returns -1 with an exception set when `packed` does not begin with a header. */
int read_header(PyObject *packed, Header *header);

/* Values that collide must not be foreseen: the seed is another one in each process. */
void set_hash_seed(uint64_t seed);

PyObject *columns(PyObject *module, PyObject *packed);

/* Returns a new reference to the type `Packer`, NULL with an exception set when it can't be made. */
PyObject *packer_type(void);

#pragma GCC visibility pop

#endif
