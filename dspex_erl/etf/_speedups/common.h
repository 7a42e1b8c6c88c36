/* What the parts of the C coder share: the module's state, wire constants and byte order.
 *
 * The extension is one shared object for every CPython from 3.10 on: it uses the limited API and nothing of CPython's
 * private headers. The places that go a step further say so and why: Py_buffer and HAVE() below, and fast.c.
 */
#ifndef DSPEX_ERL_COMMON_H
#define DSPEX_ERL_COMMON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The buffer protocol joined the stable ABI in 3.11, as it had been since 3.0: same structure, same functions, exported by 3.10 as
 * well, only hidden from its limited headers. */
#if defined(Py_LIMITED_API) && Py_LIMITED_API + 0 < 0x030B0000
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;
PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *object, Py_buffer *view, int flags);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *view);
#define PyBUF_SIMPLE 0
#endif

/* Two functions of the documented C API that every CPython 3 exports, but that the limited one leaves out. They are weak
 * symbols: looked for when this module is loaded, and done without where they are not found. */
#if defined(__ELF__) && defined(__GNUC__)
#define HAVE(function) (function != NULL)
PyAPI_FUNC(int) _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) __attribute__((weak));
PyAPI_FUNC(PyObject *) PyUnicode_FromKindAndData(int kind, const void *buffer, Py_ssize_t size) __attribute__((weak));
#else
#define HAVE(function) false
#define _PyBytes_Resize(bytes, size) (-1)
#define PyUnicode_FromKindAndData(kind, buffer, size) ((PyObject *)NULL)
#endif

#if defined(__GNUC__)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
/* Not GCC's `cold`: it then compiles whole paths that lead there, and are hot, for size. */
#define COLD __attribute__((noinline))
#else
#define LIKELY(condition) (condition)
#define UNLIKELY(condition) (condition)
#define COLD
#endif

/* Only the module's entry point is to be seen from outside. */
#if defined(__GNUC__)
#define INTERNAL __attribute__((visibility("hidden")))
#else
#define INTERNAL
#endif

/* Tags of the External Term Format (ERTS User's Guide, chapter of that name). Those that only the Python helpers read are in
 * _tags.py. */
enum {
    VERSION = 131,
    NEW_FLOAT = 70,
    BIT_BINARY = 77,
    COMPRESSED = 80,
    NEW_PID = 88,
    NEW_PORT = 89,
    NEWER_REFERENCE = 90,
    SMALL_INTEGER = 97,
    INTEGER = 98,
    FLOAT_TEXT = 99,
    ATOM_LATIN1 = 100,
    REFERENCE = 101,
    PORT = 102,
    PID = 103,
    SMALL_TUPLE = 104,
    LARGE_TUPLE = 105,
    NIL = 106,
    STRING = 107,
    LIST = 108,
    BINARY = 109,
    SMALL_BIG = 110,
    LARGE_BIG = 111,
    NEW_FUN = 112,
    EXPORT = 113,
    NEW_REFERENCE = 114,
    SMALL_ATOM_LATIN1 = 115,
    MAP = 116,
    FUN = 117,
    ATOM_UTF8 = 118,
    SMALL_ATOM_UTF8 = 119,
    V4_PORT = 120,
};

enum {
    ATOM_CHARACTERS = 255,
    MAX_STRING = 65535,    /* what the length of STRING_EXT can say */
    PATH_STEPS = 17,       /* one more than format_path() shows, so that it knows of the rest */
};

/* How this interpreter lays out a few builtin objects, as found out by fast.c. */
typedef struct {
    bool lists;            /* a list's items can be reached */
    bool tuples;           /* likewise a tuple's, `tuple_items` bytes from its start */
    bool floats;           /* a float's value can be read */
    bool signed_size;      /* ints as up to 3.11: the number of digits, negated for a negative int */
    bool tagged_size;      /* ints as from 3.12 on: the number of digits above three bits that hold the sign */
    bool relabel;          /* a new list may be made a List by changing its type */
    Py_ssize_t tuple_items;
} Fast;

/* Functions in Python that both coders call. */
typedef enum {
    HELP_AT,
    HELP_LEAF,
    HELP_INFLATE,
    HELP_OPAQUE,
    HELP_STRUCT,
    HELP_CLASHING,
    HELP_CHECK_HASHES,
    HELP_KEY_FAULT,
    HELP_RAW,
    HELP_LOWER,
    HELPERS,
} Helper;

/* Names of attributes, made once: each other object of the same text would take a place of its own in the interpreter's cache. */
typedef enum { NAME_TAIL, NAME_VALUE, NAME_BIT_LENGTH, NAME_TO_BYTES, NAME_TOREADONLY, NAME_CAST, NAMES } Name;

typedef struct {
    PyTypeObject *atom, *byte_atom, *wide_atom, *list, *map, *improper_list, *exact_key;
    PyObject *codec_error, *decode_error, *truncated_error, *decode_limit_error;
    PyObject *encode_error, *encode_limit_error;
    PyObject *format_path;
    PyObject *helper[HELPERS];     /* imported at their first use */
    PyObject *name[NAMES];
    PyObject *int_from_bytes;
    PyObject *no_arguments;        /* () */
    PyObject *empty_list, *empty_map;  /* List() and Map(), which cannot change and so can be shared */
    PyObject *small_int[256];
    PyObject *decoder_type, *encoder_type;
    newfunc list_new, dict_new, str_new;
    Fast fast;
} State;

/* module.c */
extern INTERNAL struct PyModuleDef speedups_module;
INTERNAL PyObject *state_helper(State *state, Helper which);
INTERNAL bool option_size(PyObject *options, const char *name, Py_ssize_t *value);
INTERNAL bool option_strings(PyObject *options, bool *as_bytes);
INTERNAL bool option_set(PyObject *options, const char *name, bool *set);

/* decoder.c, encoder.c */
extern INTERNAL PyType_Spec decoder_spec;
extern INTERNAL PyType_Spec encoder_spec;

/* fast.c */
INTERNAL int fast_probe(State *state);

/* wire.c */
INTERNAL PyObject *take_calls(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* text.c */
INTERNAL bool utf8_count(const uint8_t *text, Py_ssize_t size, Py_ssize_t *characters);
INTERNAL PyObject *utf8_decode(const uint8_t *text, Py_ssize_t size, bool *invalid);

/* Big-endian numbers, from and to any address. */

static inline uint16_t load16(const uint8_t *at) { return (uint16_t)((at[0] << 8) | at[1]); }

static inline uint32_t load32(const uint8_t *at)
{
    return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | (uint32_t)at[3];
}

static inline uint64_t load64(const uint8_t *at) { return ((uint64_t)load32(at) << 32) | load32(at + 4); }

static inline void store16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void store32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static inline void store64(uint8_t *at, uint64_t value)
{
    store32(at, (uint32_t)(value >> 32));
    store32(at + 4, (uint32_t)value);
}

static inline double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* NaN or an infinity: neither is an Erlang float. */
static inline bool bits_not_finite(uint64_t bits) { return (bits & UINT64_C(0x7FF0000000000000)) == UINT64_C(0x7FF0000000000000); }

/* Direct reads of builtin objects; only where fast.c has allowed them. */

static inline void *fast_word(PyObject *object, size_t words)
{
    void *word;
    memcpy(&word, (char *)object + words * sizeof(void *), sizeof word);
    return word;
}

static inline PyObject **fast_list_items(PyObject *list) { return (PyObject **)fast_word(list, 3); }

static inline PyObject **fast_tuple_items(const Fast *fast, PyObject *tuple)
{
    return (PyObject **)(void *)((char *)tuple + fast->tuple_items);
}

static inline Py_ssize_t list_size(const Fast *fast, PyObject *list)
{
    return LIKELY(fast->lists) ? (Py_ssize_t)(intptr_t)fast_word(list, 2) : PyList_Size(list);
}

static inline Py_ssize_t tuple_size(const Fast *fast, PyObject *tuple)
{
    return LIKELY(fast->tuples) ? (Py_ssize_t)(intptr_t)fast_word(tuple, 2) : PyTuple_Size(tuple);
}

static inline double fast_float(PyObject *number)
{
    double value;
    memcpy(&value, (char *)number + 2 * sizeof(void *), sizeof value);
    return value;
}

/* The value of an int of at most one digit (30 bits); false for any other, and where ints cannot be read. */
static inline bool fast_int(const Fast *fast, PyObject *number, int32_t *value)
{
    intptr_t size = (intptr_t)fast_word(number, 2);
    uint32_t digit;
    memcpy(&digit, (char *)number + 3 * sizeof(void *), sizeof digit);
    if (fast->tagged_size) {
        *value = (int32_t)(digit & 0x3FFFFFFF) * (1 - (int32_t)(size & 3));
        return size < 16;
    }
    if (!fast->signed_size || size < -1 || size > 1) {
        return false;
    }
    *value = (int32_t)(digit & 0x3FFFFFFF) * (int32_t)size;
    return true;
}

#endif
