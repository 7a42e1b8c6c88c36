/* One call of the decoder: its state, and what the parts of the decoder share. */
#ifndef DSPEX_ERL_READER_H
#define DSPEX_ERL_READER_H

#include "common.h"

enum {
    MAX_KEY_DEPTH = 100,      /* containers of a key: hash() recurses through them */
    MANY_KEYS = 1000,         /* from here on a map's keys are checked for equal hashes */
    MAX_SAME_HASH = 128,
    CACHE_BITS = 10,
    CACHE_MIDDLE = 30,        /* bytes of a cached name between its first and last eight */
    CACHED_SIZE = CACHE_MIDDLE + 16,
    INLINE_FRAMES = 16,
    INLINE_VALUES = 64,
};

/* ---- cache of atoms and keys ---- */

typedef enum { LATIN1_NAME, UTF8_NAME, KEY } NameKind;

/* One name in 64 bytes, a line of the processor's cache. `head` and `tail` are its first and last eight bytes (which overlap,
 * or hold a shorter name twice), so that most comparisons are those of two numbers. */
typedef struct {
    PyObject *value;
    uint64_t call;       /* the last call in which this atom was counted */
    uint64_t head, tail;
    uint8_t size, kind;
    uint8_t middle[CACHE_MIDDLE];
} Entry;

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *options;
    Entry *cache;
    uint64_t calls;
    bool as_bytes, has_structs;
    Py_ssize_t max_bytes, max_depth, max_elements, max_atoms, max_digits, view_threshold;
} Decoder;

/* ---- one call ---- */

typedef enum { IN_LIST, IN_TAIL, IN_TUPLE, IN_MAP } FrameKind;

typedef struct {
    Py_ssize_t base;     /* its first child on the stack of values */
    Py_ssize_t left;     /* children still to be read, the one in progress included; a list's tail not */
    Py_ssize_t owed;     /* terms that the enclosing containers still need, a byte each at least */
    Py_ssize_t offset;   /* of its tag */
    uint8_t kind;
    uint8_t key_depth;   /* containers from here up to the map of which this is the key, or in the key; 0 outside keys */
} Frame;

typedef struct {
    Decoder *decoder;
    State *state;
    bool quiet, collects;      /* see quiet_begin() */
    bool foreign;              /* Python code has run, and may have put objects of any kind into the term */
    PyObject *source;          /* what holds the bytes */
    PyObject *view;            /* of them all, made when first needed */
    const uint8_t *start, *end;
    Py_ssize_t within;         /* offset of the tag of the compressed term that is being read, or -1 */
    uint64_t call;
    Py_ssize_t elements, atoms;
    PyObject *counted;         /* atoms of this call that had to leave the cache, by name; or NULL */
    bool saw_marker;           /* the atom of ErlPort's opaque terms came up */
    Frame *frames;
    Py_ssize_t depth, frames_room;
    PyObject **values;
    Py_ssize_t top, values_room;
    Frame inline_frames[INLINE_FRAMES];
    PyObject *inline_values[INLINE_VALUES];
} Reader;

/* reader.c: every one sets an exception and gives NULL */
INTERNAL COLD PyObject *read_fail(Reader *r, const uint8_t *at, const char *expected, const char *got);
INTERNAL COLD PyObject *read_fail_truncated(Reader *r);
INTERNAL COLD PyObject *read_fail_limit(Reader *r, const uint8_t *at, const char *limit, Py_ssize_t maximum, const char *got);
INTERNAL COLD PyObject *read_fail_from_helper(Reader *r, Py_ssize_t top);
INTERNAL COLD PyObject *read_fail_key(Reader *r, Py_ssize_t offset, Py_ssize_t top);

/* names.c */
INTERNAL COLD PyObject *atom_uncached(Reader *r, const uint8_t *at, const uint8_t *name, Py_ssize_t size, NameKind kind,
                                      Entry *entry);
INTERNAL void entry_set(Entry *entry, PyObject *value, const uint8_t *name, size_t size, uint64_t head, uint64_t tail,
                        NameKind kind);

/* ---- the garbage collector ----
 *
 * Up to 3.11 an allocation may start a collection, and building a term of many containers starts many, which more than doubles
 * the time it takes; each looks at objects that cannot be garbage yet. From 3.12 on collections wait until the interpreter is
 * between two instructions of Python. While the decoder builds, it has the older versions do the same: it switches the collector
 * off. The GIL is held all that time, so nobody can see it. Before anything that may run Python code, and so release the GIL,
 * quiet_end() switches it on again. */

static inline void quiet_begin(Reader *r)
{
    if (!r->quiet) {
        r->quiet = true;
        r->collects = PyGC_Disable();
    }
}

static inline void quiet_end(Reader *r)
{
    if (r->quiet) {
        r->quiet = false;
        r->foreign = true;
        if (r->collects) {
            PyGC_Enable();
        }
    }
}

/* ---- atoms and keys ---- */

static inline uint64_t native64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t native32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Fills `head` and `tail` of an Entry. Together with the size they tell any two names of up to 16 bytes apart. */
static inline void name_ends(const uint8_t *name, size_t size, uint64_t *head, uint64_t *tail)
{
    if (size >= 8) {
        *head = native64(name);
        *tail = native64(name + size - 8);
    }
    else if (size >= 4) {
        *head = native32(name);
        *tail = native32(name + size - 4);
    }
    else {
        *head = size ? name[0] : 0;
        *tail = size ? (uint64_t)name[size / 2] << 8 | name[size - 1] : 0;
    }
}

static inline Entry *cache_slot(Decoder *decoder, uint64_t head, uint64_t tail, size_t size, NameKind kind)
{
    uint64_t mixed = (head ^ (tail << 23 | tail >> 41) ^ (uint64_t)size << 56 ^ (uint64_t)kind) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return &decoder->cache[mixed >> (64 - CACHE_BITS)];
}

static inline bool entry_is(const Entry *entry, const uint8_t *name, size_t size, uint64_t head, uint64_t tail, NameKind kind)
{
    return entry->head == head && entry->tail == tail && entry->size == size && entry->kind == kind && entry->value != NULL
           && (size <= 16 || memcmp(entry->middle, name + 8, size - 16) == 0);
}

static inline bool count_atom(Reader *r, const uint8_t *at)
{
    if (++r->atoms > r->decoder->max_atoms) {
        read_fail_limit(r, at, "max_atoms", r->decoder->max_atoms, "one more atom");
        return false;
    }
    return true;
}

/* The atom whose tag is at `at`. New reference. */
static inline PyObject *atom_get(Reader *r, const uint8_t *at, const uint8_t *name, Py_ssize_t size, NameKind kind)
{
    Entry *entry = NULL;
    if (LIKELY(size <= CACHED_SIZE)) {
        uint64_t head, tail;
        name_ends(name, (size_t)size, &head, &tail);
        entry = cache_slot(r->decoder, head, tail, (size_t)size, kind);
        if (LIKELY(entry_is(entry, name, (size_t)size, head, tail, kind))) {
            if (UNLIKELY(entry->call != r->call)) {
                if (!count_atom(r, at)) {
                    return NULL;
                }
                entry->call = r->call;
            }
            return Py_NewRef(entry->value);
        }
    }
    return atom_uncached(r, at, name, size, kind, entry);
}

#endif
