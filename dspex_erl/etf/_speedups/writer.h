/* One call of the encoder: its state, and what the parts of the encoder share. */
#ifndef DSPEX_ERL_WRITER_H
#define DSPEX_ERL_WRITER_H

#include "common.h"

enum {
    LARGE = 65536,            /* LARGE_BINARY of _options.py */
    MAX_EXACT_KEYS = 8,       /* an ExactKey in an ExactKey in ... */
    INLINE_FRAMES = 16,
    SCRATCH = 4096,           /* up to here output goes through a buffer that is kept between calls */
    GUESS_AT_MOST = 1 << 24,  /* for the length of the next output */
    CACHE_BITS = 10,
    CACHED_SIZE = 55,         /* bytes of an encoded atom or key that fit into a cache entry */
    SMALL_TEXT = 256,         /* characters of a charlist that need no allocation */
    SLACK = 32,               /* more than any number or header takes */
    ROOM_AFTER = 64,          /* behind an output of the length that was guessed: all that ensure() asks for at its end */
};

/* An atom or a key of a map, and what it is encoded as. Found by its address, which stands for its value as long as the entry
 * owns it: only objects of immutable types are kept. */
typedef struct {
    PyObject *object;
    uint8_t bytes[CACHED_SIZE];
    uint8_t size;
} Entry;

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *options;
    Entry *cache;
    uint8_t *scratch;         /* NULL while a call uses it */
    Py_ssize_t guess;         /* the length of the last output */
    bool as_bytes;
    Py_ssize_t max_bytes, max_depth, max_elements, max_digits;
} Encoder;

typedef enum { OUT_LIST, OUT_IMPROPER, OUT_TUPLE, OUT_MAP } FrameKind;

/* Where a map stands: before a pair, in a key, between key and value, in a value. */
typedef enum { BEFORE_PAIR, IN_KEY, BEFORE_VALUE, IN_VALUE } Stage;

typedef struct {
    PyObject *object;
    Py_ssize_t index, size;   /* of the child in progress, and of all children (pairs of a map) when writing began */
    PyObject *key;            /* of the pair in progress; owned if `owned`, else the map has it */
    PyObject *other;          /* its value, likewise; or the tail of an improper list, which is owned */
    PyObject *seen;           /* the keys as encoded, once two of them might be the same term; or NULL */
    PyTypeObject *key_type;   /* of all keys so far; only ever compared */
    Py_ssize_t position;      /* of PyDict_Next */
    Py_ssize_t key_start;     /* where in the buffer the key begins */
    uint8_t kind, stage;
    bool owned;
} Frame;

typedef struct {
    Encoder *encoder;
    State *state;
    bool quiet, collects;     /* see quiet_begin(); whether the garbage collector is to be switched on again */
    bool foreign;             /* Python code has run in this call */
    PyObject *result;         /* the bytes object in which the buffer is, or NULL while it is the scratch */
    uint8_t *buffer, *to, *end;
    Py_ssize_t passed_on;     /* bytes in `parts` */
    PyObject *parts;          /* for encode_iovec(), or NULL */
    Py_ssize_t elements;
    Frame *frames;
    Py_ssize_t depth, room;
    Frame inline_frames[INLINE_FRAMES];
} Writer;

/* What write_known() made of a value. */
typedef enum { FAILED = -1, WRITTEN, OPENED, UNKNOWN } Outcome;

/* ---- Python code and borrowed references ----
 *
 * No Python code runs, in any thread, while the encoder writes: the GIL is held, and the garbage collector, which up to 3.11 may
 * start at any allocation, is switched off. So the children of containers need not be owned. Where Python code may run,
 * quiet_end() comes first: it takes hold of what is only borrowed, which is the pair in progress of the map on top, and gives
 * the collector back. */

static inline void quiet_begin(Writer *w)
{
    if (!w->quiet) {
        w->quiet = true;
        w->collects = PyGC_Disable();
    }
}

/* Takes references to the pair in progress. */
static inline void own_pair(Frame *frame)
{
    if (frame->kind == OUT_MAP && frame->stage != BEFORE_PAIR && !frame->owned) {
        Py_INCREF(frame->key);
        Py_INCREF(frame->other);
        frame->owned = true;
    }
}

static inline void quiet_end(Writer *w)
{
    if (w->depth > 0) {
        own_pair(&w->frames[w->depth - 1]);
    }
    if (w->quiet) {
        w->quiet = false;
        if (w->collects) {
            PyGC_Enable();
        }
    }
}

/* Drops a reference. Once Python code has run it may be the last one, and the end of an object may run more. */
static inline void let_go(Writer *w, PyObject *object)
{
    if (LIKELY(!w->foreign)) {
        Py_DECREF(object);
        return;
    }
    quiet_end(w);
    Py_DECREF(object);
    quiet_begin(w);
}

/* writer.c */
INTERNAL COLD Outcome write_fail_limit(Writer *w, const char *limit, Py_ssize_t maximum, const char *got, bool with_path);
INTERNAL COLD Outcome write_fail_bytes(Writer *w);
INTERNAL COLD Outcome write_fail(Writer *w, const char *expected, const char *got);
INTERNAL COLD Outcome write_fail_from_helper(Writer *w);
INTERNAL void writer_keep_scratch(Encoder *encoder, uint8_t *buffer);
INTERNAL bool writer_move(Writer *w, Py_ssize_t used, Py_ssize_t room);
INTERNAL COLD bool writer_grow(Writer *w, Py_ssize_t more);
INTERNAL PyObject *writer_result(Writer *w);
INTERNAL bool writer_flush(Writer *w);

/* ---- output ---- */

static inline Py_ssize_t total(const Writer *w) { return w->passed_on + (w->to - w->buffer); }

/* Bytes are counted now and then; before any other error they are counted, because that limit was passed first. */
static inline bool too_long(const Writer *w) { return total(w) > w->encoder->max_bytes; }

/* Makes room for `size` bytes. */
static inline bool ensure(Writer *w, Py_ssize_t size) { return LIKELY(w->end - w->to >= size) || writer_grow(w, size); }

static inline void put_header32(Writer *w, uint8_t tag, uint32_t count)
{
    w->to[0] = tag;
    store32(w->to + 1, count);
    w->to += 5;
}

/* memcpy() for what is mostly short. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size > 16) {
        memcpy(to, from, size);
    }
    else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    }
    else if (size >= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    }
    else if (size > 0) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

static inline bool put_bytes(Writer *w, const void *data, Py_ssize_t size)
{
    if (!ensure(w, size)) {
        return false;
    }
    memcpy(w->to, data, (size_t)size);
    w->to += size;
    return true;
}

#endif
