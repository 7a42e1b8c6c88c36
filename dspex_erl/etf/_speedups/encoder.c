/* Python values to bytes.
 *
 * Containers that are being written lie on a stack of frames, which own them; everything else is written where it is met. A
 * value whose exact type is none of those below goes to Python (_rare.raw(), then _lower.lower()), and what comes back is
 * written in its place. This may run code of the user, which may change the containers on the stack: their sizes are checked
 * whenever writing goes on. / */
#include "writer.h"

COLD static Outcome fail_changed(Writer *w)
{
    /* The container itself is at fault, not its child in progress. */
    quiet_end(w);
    w->depth--;
    Outcome outcome = write_fail(w, "a container that stays as it is", "one whose size changed while it was encoded");
    w->depth++;
    return outcome;
}

/* ---- binaries ---- */

/* Whether a key is being written: its bytes must be in the buffer, to be compared. */
static bool in_key(const Writer *w)
{
    for (Py_ssize_t i = 0; i < w->depth; i++) {
        if (w->frames[i].kind == OUT_MAP && w->frames[i].stage <= IN_KEY) {
            return true;
        }
    }
    return false;
}

/* A binary; `owner` is what holds its bytes, if that may be passed on instead of them. */
static Outcome write_binary(Writer *w, const void *data, Py_ssize_t size, PyObject *owner)
{
    if (UNLIKELY(size > (Py_ssize_t)UINT32_MAX)) {
        return write_fail(w, "a binary of less than 4 GiB", "a longer one");
    }
    if (UNLIKELY(w->parts != NULL) && size >= LARGE && owner != NULL && !in_key(w)) {
        if (!ensure(w, 5)) {
            return FAILED;
        }
        put_header32(w, BINARY, (uint32_t)size);
        if (!writer_flush(w) || PyList_Append(w->parts, owner) < 0) {
            return FAILED;
        }
        w->passed_on += size;
        return too_long(w) ? write_fail_bytes(w) : WRITTEN;
    }
    if (!ensure(w, size + 5)) {
        return FAILED;
    }
    put_header32(w, BINARY, (uint32_t)size);
    copy_short(w->to, data, (size_t)size);
    w->to += size;
    return WRITTEN;
}

/* ---- numbers ---- */

static inline uint8_t *put_int32(uint8_t *to, int32_t value)
{
    if ((uint32_t)value < 256) {
        to[0] = SMALL_INTEGER;
        to[1] = (uint8_t)value;
        return to + 2;
    }
    to[0] = INTEGER;
    store32(to + 1, (uint32_t)value);
    return to + 5;
}

static inline uint8_t *put_float(uint8_t *to, uint64_t bits)
{
    to[0] = NEW_FLOAT;
    store64(to + 1, bits);
    return to + 9;
}

static Outcome fail_digits(Writer *w)
{
    if (too_long(w)) {
        return write_fail_bytes(w);
    }
    return write_fail_limit(w, "max_digits", w->encoder->max_digits, "an integer of more bytes", true);
}

static PyObject *little_endian(State *state, PyObject *number, Py_ssize_t size)
{
    PyObject *length = PyLong_FromSsize_t(size), *order = PyUnicode_FromString("little"), *digits = NULL;
    if (length != NULL && order != NULL) {
        digits = PyObject_CallMethodObjArgs(number, state->name[NAME_TO_BYTES], length, order, NULL);
    }
    Py_XDECREF(length);
    Py_XDECREF(order);
    return digits;
}

/* An int of more than 64 bits. */
COLD static Outcome write_huge(Writer *w, PyObject *number, bool negative)
{
    PyObject *magnitude = negative ? PyNumber_Negative(number) : Py_NewRef(number);
    PyObject *length = magnitude == NULL ? NULL : PyObject_CallMethodObjArgs(magnitude, w->state->name[NAME_BIT_LENGTH], NULL);
    Py_ssize_t bits = length == NULL ? -1 : PyLong_AsSsize_t(length);
    Py_XDECREF(length);
    Outcome outcome = FAILED;
    if (bits >= 0) {
        Py_ssize_t size = bits / 8 + (bits % 8 != 0);
        bool large = size > 255;
        if (size > w->encoder->max_digits || size > (Py_ssize_t)UINT32_MAX) {
            outcome = fail_digits(w);
        }
        else if (ensure(w, size + 6)) {
            PyObject *digits = little_endian(w->state, magnitude, size);
            if (digits != NULL) {
                w->to[0] = large ? LARGE_BIG : SMALL_BIG;
                if (large) {
                    store32(w->to + 1, (uint32_t)size);
                }
                else {
                    w->to[1] = (uint8_t)size;
                }
                w->to += large ? 5 : 2;
                *w->to++ = negative;
                memcpy(w->to, PyBytes_AsString(digits), (size_t)size);
                w->to += size;
                Py_DECREF(digits);
                outcome = WRITTEN;
            }
        }
    }
    Py_XDECREF(magnitude);
    return outcome;
}

static Outcome write_int(Writer *w, PyObject *number)
{
    int32_t small;
    if (!ensure(w, SLACK)) {
        return FAILED;
    }
    if (LIKELY(fast_int(&w->state->fast, number, &small))) {
        w->to = put_int32(w->to, small);
        return WRITTEN;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0) {
        return write_huge(w, number, overflow < 0);
    }
    if (value >= INT32_MIN && value <= INT32_MAX) {
        w->to = put_int32(w->to, (int32_t)value);
        return WRITTEN;
    }
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint8_t size = 0;
    for (uint64_t rest = magnitude; rest > 0; rest >>= 8) {
        w->to[3 + size++] = (uint8_t)rest;
    }
    if (size > w->encoder->max_digits) {
        return fail_digits(w);
    }
    w->to[0] = SMALL_BIG;
    w->to[1] = size;
    w->to[2] = value < 0;
    w->to += 3 + size;
    return WRITTEN;
}

/* UNKNOWN for what Erlang has no float for. */
static inline Outcome write_float(Writer *w, PyObject *number)
{
    uint64_t bits = bits_of(w->state->fast.floats ? fast_float(number) : PyFloat_AsDouble(number));
    if (UNLIKELY(bits_not_finite(bits))) {
        return UNKNOWN;
    }
    if (!ensure(w, SLACK)) {
        return FAILED;
    }
    w->to = put_float(w->to, bits);
    return WRITTEN;
}

/* ---- atoms and text ---- */

static bool all_ascii(const uint8_t *text, Py_ssize_t size)
{
    uint8_t bits = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        bits |= text[i];
    }
    return bits < 0x80;
}

static Outcome fail_atom(Writer *w) { return write_fail(w, "an atom of at most 255 characters that UTF-8 can write", "another"); }

/* An atom's name in UTF-8 or, for ASCII, as any of the tags has it. */
static Outcome put_atom(Writer *w, uint8_t small_tag, uint8_t large_tag, const void *name, Py_ssize_t size)
{
    if (!ensure(w, size + 3)) {
        return FAILED;
    }
    if (small_tag != 0 && size <= 255) {
        w->to[0] = small_tag;
        w->to[1] = (uint8_t)size;
        w->to += 2;
    }
    else {
        w->to[0] = large_tag;
        store16(w->to + 1, (uint16_t)size);
        w->to += 3;
    }
    copy_short(w->to, name, (size_t)size);
    w->to += size;
    return WRITTEN;
}

/* A name of ASCII. ErlPort's mapping sends ATOM_EXT, which every ErlPort reads; ours what OTP 26 sends. */
static inline Outcome put_ascii_atom(Writer *w, const void *name, Py_ssize_t size)
{
    return w->encoder->as_bytes ? put_atom(w, 0, ATOM_LATIN1, name, size) : put_atom(w, SMALL_ATOM_UTF8, 0, name, size);
}

static Outcome write_atom(Writer *w, PyObject *atom)
{
    Py_ssize_t size;
    const char *name = PyUnicode_AsUTF8AndSize(atom, &size);
    if (UNLIKELY(name == NULL)) {
        return PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) ? fail_atom(w) : FAILED;
    }
    Py_ssize_t characters = PyUnicode_GetLength(atom);
    if (UNLIKELY(characters > ATOM_CHARACTERS)) {
        return fail_atom(w);
    }
    if (LIKELY(characters == size)) {
        return put_ascii_atom(w, name, size);
    }
    if (w->encoder->as_bytes) {
        PyObject *latin1 = PyUnicode_AsLatin1String(atom);
        if (latin1 != NULL) {
            Outcome outcome = put_atom(w, 0, ATOM_LATIN1, PyBytes_AsString(latin1), characters);
            Py_DECREF(latin1);
            return outcome;
        }
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return FAILED;
        }
        PyErr_Clear();
    }
    return put_atom(w, SMALL_ATOM_UTF8, ATOM_UTF8, name, size);
}

/* A ByteAtom: its bytes are Latin-1. */
static Outcome write_byte_atom(Writer *w, PyObject *atom)
{
    const uint8_t *name = (const uint8_t *)PyBytes_AsString(atom);
    Py_ssize_t size = PyBytes_Size(atom);
    if (UNLIKELY(size > ATOM_CHARACTERS)) {
        return fail_atom(w);
    }
    if (w->encoder->as_bytes || all_ascii(name, size)) {
        return put_ascii_atom(w, name, size);
    }
    uint8_t wide[2 * ATOM_CHARACTERS];
    Py_ssize_t length = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (name[i] >= 0x80) {
            wide[length++] = (uint8_t)(0xC0 | name[i] >> 6);
            wide[length++] = name[i] & 0xBF;
        }
        else {
            wide[length++] = name[i];
        }
    }
    return put_atom(w, SMALL_ATOM_UTF8, ATOM_UTF8, wide, length);
}

/* A ByteAtom whose bytes are UTF-8. */
COLD static Outcome write_wide_atom(Writer *w, PyObject *atom)
{
    const uint8_t *name = (const uint8_t *)PyBytes_AsString(atom);
    Py_ssize_t size = PyBytes_Size(atom), characters;
    if (!utf8_count(name, size, &characters) || characters > ATOM_CHARACTERS) {
        return fail_atom(w);
    }
    return put_atom(w, SMALL_ATOM_UTF8, ATOM_UTF8, name, size);
}

/* ---- cache of atoms and keys ---- */

static inline Entry *cache_slot(Encoder *encoder, PyObject *object)
{
    uintptr_t address = (uintptr_t)object;
    return &encoder->cache[(address >> 4 ^ address >> (4 + CACHE_BITS)) & ((1 << CACHE_BITS) - 1)];
}

/* Writes an object that is in the cache; UNKNOWN for any other. */
static inline Outcome write_cached(Writer *w, PyObject *object)
{
    Entry *entry = cache_slot(w->encoder, object);
    if (UNLIKELY(entry->object != object)) {
        return UNKNOWN;
    }
    if (!ensure(w, CACHED_SIZE)) {
        return FAILED;
    }
    memcpy(w->to, entry->bytes, CACHED_SIZE); /* all of it: that needs no call and no branch */
    w->to += entry->size;
    return WRITTEN;
}

/* Puts an object that has been written, from `start` in the buffer on, into the cache. Its type is str, bytes or that of an atom,
 * so that the end of the object that it replaces runs no Python code. */
static void cache_written(Writer *w, PyObject *object, Py_ssize_t start)
{
    Py_ssize_t size = w->to - w->buffer - start;
    if (size <= CACHED_SIZE) {
        Entry *entry = cache_slot(w->encoder, object);
        PyObject *old = entry->object;
        entry->object = Py_NewRef(object);
        entry->size = (uint8_t)size;
        memcpy(entry->bytes, w->buffer + start, (size_t)size);
        Py_XDECREF(old);
    }
}

static Outcome write_any_atom(Writer *w, PyObject *atom, Outcome (*write)(Writer *, PyObject *))
{
    Outcome outcome = write_cached(w, atom);
    if (UNLIKELY(outcome == UNKNOWN)) {
        Py_ssize_t start = w->to - w->buffer;
        outcome = write(w, atom);
        if (outcome == WRITTEN) {
            cache_written(w, atom, start);
        }
    }
    return outcome;
}

static bool room_for_elements(Writer *w, Py_ssize_t count)
{
    if (LIKELY(count <= w->encoder->max_elements - w->elements)) {
        w->elements += count;
        return true;
    }
    if (too_long(w)) {
        write_fail_bytes(w);
    }
    else {
        write_fail_limit(w, "max_elements", w->encoder->max_elements, "more", true);
    }
    return false;
}

static bool room_for_level(Writer *w)
{
    if (LIKELY(w->depth < w->encoder->max_depth)) {
        return true;
    }
    if (too_long(w)) {
        write_fail_bytes(w);
    }
    else {
        write_fail_limit(w, "max_depth", w->encoder->max_depth, "one more level", true);
    }
    return false;
}

static Outcome put_code_points(Writer *w, const Py_UCS4 *text, Py_ssize_t size)
{
    Py_UCS4 highest = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        highest = text[i] > highest ? text[i] : highest;
    }
    if (highest < 256 && size <= MAX_STRING) {
        if (!room_for_elements(w, size) || !ensure(w, size + 3)) {
            return FAILED;
        }
        w->to[0] = STRING;
        store16(w->to + 1, (uint16_t)size);
        w->to += 3;
        for (Py_ssize_t i = 0; i < size; i++) {
            *w->to++ = (uint8_t)text[i];
        }
        return WRITTEN;
    }
    if (size > (Py_ssize_t)UINT32_MAX) {
        return write_fail(w, "a list of less than 2^32 items", "a longer one");
    }
    if (!room_for_level(w) || !room_for_elements(w, size) || !ensure(w, SLACK)) {
        return FAILED;
    }
    put_header32(w, LIST, (uint32_t)size);
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!ensure(w, SLACK)) {
            return FAILED;
        }
        w->to = put_int32(w->to, (int32_t)text[i]);
    }
    *w->to++ = NIL; /* within the slack */
    return WRITTEN;
}

/* ErlPort's way with a str: the list of its code points. */
static Outcome write_charlist(Writer *w, PyObject *text)
{
    Py_UCS4 small[SMALL_TEXT], *points = small;
    Py_ssize_t size = PyUnicode_GetLength(text);
    if (size == 0) {
        if (!ensure(w, 1)) {
            return FAILED;
        }
        *w->to++ = NIL;
        return WRITTEN;
    }
    if (size > SMALL_TEXT && (points = PyMem_Malloc((size_t)size * sizeof *points)) == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    Outcome outcome = PyUnicode_AsUCS4(text, points, size, 0) == NULL ? FAILED : put_code_points(w, points, size);
    if (points != small) {
        PyMem_Free(points);
    }
    return outcome;
}

static inline Outcome write_str(Writer *w, PyObject *text)
{
    if (w->encoder->as_bytes) {
        return write_charlist(w, text);
    }
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (UNLIKELY(utf8 == NULL)) {
        bool surrogate = PyErr_ExceptionMatches(PyExc_UnicodeEncodeError);
        return surrogate ? write_fail(w, "text that UTF-8 can write", "a surrogate") : FAILED;
    }
    return write_binary(w, utf8, size, NULL);
}

/* ---- containers ---- */

static bool grow_frames(Writer *w)
{
    Py_ssize_t room = 2 * w->room;
    bool first = w->frames == w->inline_frames;
    Frame *frames = PyMem_Realloc(first ? NULL : w->frames, (size_t)room * sizeof *frames);
    if (frames == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (first) {
        memcpy(frames, w->inline_frames, sizeof w->inline_frames);
    }
    w->frames = frames;
    w->room = room;
    return true;
}

/* Writes a container's head and puts it on the stack; `elements` is what it counts against max_elements. */
static inline Outcome open_container(Writer *w, PyObject *object, FrameKind kind, uint8_t tag, Py_ssize_t size, Py_ssize_t elements)
{
    if (!room_for_level(w) || !room_for_elements(w, elements) || (UNLIKELY(w->depth == w->room) && !grow_frames(w))
        || !ensure(w, SLACK)) {
        return FAILED;
    }
    if (UNLIKELY(size > (Py_ssize_t)UINT32_MAX)) {
        return write_fail(w, "a container of less than 2^32 elements", "a larger one");
    }
    if (tag == SMALL_TUPLE) {
        w->to[0] = SMALL_TUPLE;
        w->to[1] = (uint8_t)size;
        w->to += 2;
    }
    else {
        put_header32(w, tag, (uint32_t)size);
    }
    if (w->depth > 0) {
        /* It waits for this one, within which Python code may run. */
        own_pair(&w->frames[w->depth - 1]);
    }
    Frame *frame = &w->frames[w->depth++];
    frame->object = Py_NewRef(object);
    frame->index = 0;
    frame->size = size;
    frame->key = frame->other = frame->seen = NULL;
    frame->key_type = NULL;
    frame->position = 0;
    frame->kind = (uint8_t)kind;
    frame->stage = BEFORE_PAIR;
    frame->owned = false;
    return OPENED;
}

static void frame_drop(Frame *frame)
{
    if (frame->owned) {
        Py_XDECREF(frame->key);
        Py_XDECREF(frame->other);
    }
    Py_XDECREF(frame->seen);
    Py_DECREF(frame->object);
}

/* A child that was a container of its own, or came through Python, is done. */
static inline void child_done(Writer *w, Frame *frame)
{
    if (frame->kind != OUT_MAP) {
        frame->index++;
    }
    else if (frame->stage == IN_KEY) {
        frame->stage = BEFORE_VALUE;
    }
    else {
        frame->stage = BEFORE_PAIR;
        frame->index++;
        if (frame->owned) {
            PyObject *key = frame->key, *value = frame->other;
            frame->owned = false;
            let_go(w, key);
            let_go(w, value);
        }
    }
}

static void close_container(Writer *w)
{
    Frame frame = w->frames[--w->depth];
    if (w->depth > 0) {
        child_done(w, &w->frames[w->depth - 1]);
    }
    if (frame.owned) {
        let_go(w, frame.other); /* the tail; a map has no pair in progress any more */
    }
    Py_XDECREF(frame.seen);
    let_go(w, frame.object);
}

/* A list of bytes as STRING_EXT. UNKNOWN for any other list. */
static Outcome write_string(Writer *w, PyObject *list, Py_ssize_t size)
{
    const Fast *fast = &w->state->fast;
    PyObject **items = fast->lists ? fast_list_items(list) : NULL;
    if (size > MAX_STRING || Py_TYPE(items ? items[0] : PyList_GetItem(list, 0)) != &PyLong_Type) {
        return UNKNOWN;
    }
    if (w->end - w->to < size + 3 && (total(w) + size + 3 > w->encoder->max_bytes || !writer_grow(w, size + 3))) {
        /* Too long as a list, then, too; unless something else is wrong with it before. */
        return PyErr_Occurred() ? FAILED : UNKNOWN;
    }
    uint8_t *to = w->to + 3;
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = items ? items[i] : PyList_GetItem(list, i);
        int32_t value;
        if (Py_TYPE(item) != &PyLong_Type) {
            return UNKNOWN;
        }
        if (UNLIKELY(!fast_int(fast, item, &value))) {
            int overflow;
            long long wide = PyLong_AsLongLongAndOverflow(item, &overflow);
            value = overflow || wide < 0 || wide > 255 ? -1 : (int32_t)wide;
        }
        if (value < 0 || value > 255) {
            return UNKNOWN;
        }
        to[i] = (uint8_t)value;
    }
    if (!room_for_elements(w, size)) {
        return FAILED;
    }
    w->to[0] = STRING;
    store16(w->to + 1, (uint16_t)size);
    w->to += size + 3;
    return WRITTEN;
}

static Outcome write_list(Writer *w, PyObject *list)
{
    Py_ssize_t size = list_size(&w->state->fast, list);
    if (size == 0) {
        if (!ensure(w, 1)) {
            return FAILED;
        }
        *w->to++ = NIL;
        return WRITTEN;
    }
    Outcome outcome = write_string(w, list, size);
    return outcome == UNKNOWN ? open_container(w, list, OUT_LIST, LIST, size, size) : outcome;
}

static Outcome write_tuple(Writer *w, PyObject *tuple)
{
    Py_ssize_t size = tuple_size(&w->state->fast, tuple);
    if (size == 0) {
        if (!ensure(w, 2)) {
            return FAILED;
        }
        *w->to++ = SMALL_TUPLE;
        *w->to++ = 0;
        return WRITTEN;
    }
    return open_container(w, tuple, OUT_TUPLE, size <= 255 ? SMALL_TUPLE : LARGE_TUPLE, size, size);
}

static Outcome write_map(Writer *w, PyObject *map)
{
    Py_ssize_t size = PyDict_Size(map);
    if (size == 0) {
        if (!ensure(w, 5)) {
            return FAILED;
        }
        put_header32(w, MAP, 0);
        return WRITTEN;
    }
    return open_container(w, map, OUT_MAP, MAP, size, 2 * size);
}

/* ---- values ---- */

/* Writes a value of a type that needs no Python code; opens a container. UNKNOWN for all other types. */
static Outcome write_known(Writer *w, PyObject *value)
{
    State *state = w->state;
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type) {
        return write_str(w, value);
    }
    if (type == state->atom) {
        return write_any_atom(w, value, write_atom);
    }
    if (type == &PyLong_Type) {
        return write_int(w, value);
    }
    if (type == &PyBytes_Type) {
        return write_binary(w, PyBytes_AsString(value), PyBytes_Size(value), value);
    }
    if (type == &PyDict_Type || type == state->map) {
        return write_map(w, value);
    }
    if (type == &PyList_Type || type == state->list) {
        return write_list(w, value);
    }
    if (type == &PyTuple_Type) {
        return write_tuple(w, value);
    }
    if (type == &PyFloat_Type) {
        return write_float(w, value);
    }
    if (type == state->byte_atom) {
        return write_any_atom(w, value, write_byte_atom);
    }
    if (value == Py_None) {
        return w->encoder->as_bytes ? put_ascii_atom(w, "undefined", 9) : put_ascii_atom(w, "nil", 3);
    }
    if (value == Py_True) {
        return put_ascii_atom(w, "true", 4);
    }
    if (value == Py_False) {
        return put_ascii_atom(w, "false", 5);
    }
    if (type == state->wide_atom) {
        return write_wide_atom(w, value);
    }
    return UNKNOWN;
}

/* An improper list; without items it is its tail, which replaces `*value` and is UNKNOWN so far. */
static Outcome write_improper(Writer *w, PyObject **value)
{
    PyObject *tail = PyObject_GetAttr(*value, w->state->name[NAME_TAIL]);
    if (tail == NULL) {
        return write_fail(w, "an improper list with a tail", "one without");
    }
    Py_ssize_t size = PyList_Size(*value);
    if (size == 0) {
        PyObject *old = *value;
        *value = tail;
        Py_DECREF(old);
        return UNKNOWN;
    }
    Outcome outcome = open_container(w, *value, OUT_IMPROPER, LIST, size, size);
    if (outcome == OPENED) {
        w->frames[w->depth - 1].other = tail;
        w->frames[w->depth - 1].owned = true;
    }
    else {
        Py_DECREF(tail);
    }
    return outcome;
}

/* What lower() makes of bytearrays and views: a flat view of bytes. */
static Outcome write_view(Writer *w, PyObject *view)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE) < 0) {
        return write_fail(w, "a contiguous view", "another");
    }
    Outcome outcome = write_binary(w, buffer.len > 0 ? buffer.buf : "", buffer.len, view);
    PyBuffer_Release(&buffer);
    return outcome;
}

/* Foreign terms: _rare.raw() gives them as they are to be sent. UNKNOWN if `value` is none. */
static Outcome write_raw(Writer *w, PyObject *value)
{
    PyObject *helper = state_helper(w->state, HELP_RAW);
    PyObject *bytes = helper == NULL ? NULL : PyObject_CallFunctionObjArgs(helper, value, w->encoder->options, NULL);
    Py_XDECREF(helper);
    if (bytes == NULL) {
        return write_fail_from_helper(w);
    }
    Outcome outcome = UNKNOWN;
    if (PyBytes_Check(bytes)) {
        outcome = put_bytes(w, PyBytes_AsString(bytes), PyBytes_Size(bytes)) ? WRITTEN : FAILED;
    }
    Py_DECREF(bytes);
    return outcome;
}

static PyObject *lowered(Writer *w, PyObject *value)
{
    PyObject *helper = state_helper(w->state, HELP_LOWER);
    PyObject *plain = helper == NULL ? NULL : PyObject_CallFunctionObjArgs(helper, value, w->encoder->options, NULL);
    Py_XDECREF(helper);
    if (plain == NULL) {
        write_fail_from_helper(w);
    }
    return plain;
}

/* Writes a value that write_known() does not know. Runs Python code. */
COLD static Outcome write_foreign(Writer *w, PyObject *value)
{
    State *state = w->state;
    bool is_lowered = false;
    int exact_keys = 0;
    Py_INCREF(value);
    quiet_end(w);
    w->foreign = true;
    if (too_long(w)) {
        Py_DECREF(value);
        return write_fail_bytes(w);
    }
    for (;;) {
        Outcome outcome = write_known(w, value);
        if (outcome == UNKNOWN && Py_TYPE(value) == state->improper_list) {
            PyObject *before = value;
            outcome = write_improper(w, &value);
            if (value != before) {
                continue;
            }
        }
        if (outcome == UNKNOWN && Py_TYPE(value) == state->exact_key && exact_keys++ < MAX_EXACT_KEYS) {
            PyObject *inner = PyObject_GetAttr(value, state->name[NAME_VALUE]);
            if (inner != NULL) {
                Py_DECREF(value);
                value = inner;
                continue;
            }
            outcome = write_fail(w, "an ExactKey of a value", "one without");
        }
        if (outcome == UNKNOWN && is_lowered && PyMemoryView_Check(value)) {
            outcome = write_view(w, value);
        }
        if (outcome == UNKNOWN) {
            outcome = write_raw(w, value);
        }
        if (outcome == UNKNOWN && !is_lowered) {
            PyObject *plain = lowered(w, value);
            if (plain != NULL) {
                Py_DECREF(value);
                value = plain;
                is_lowered = true;
                continue;
            }
            outcome = FAILED;
        }
        if (outcome == UNKNOWN) {
            outcome = write_fail(w, "a value with an Erlang counterpart", "another");
        }
        Py_DECREF(value);
        return outcome;
    }
}

static Outcome write_other(Writer *w, PyObject *value)
{
    Outcome outcome = write_foreign(w, value);
    if (outcome != FAILED) {
        quiet_begin(w);
    }
    return outcome;
}

/* ---- the children of the top frame ---- */

static inline PyObject *item_at(const Fast *fast, const Frame *frame)
{
    if (frame->kind == OUT_TUPLE) {
        return fast->tuples ? fast_tuple_items(fast, frame->object)[frame->index] : PyTuple_GetItem(frame->object, frame->index);
    }
    return fast->lists ? fast_list_items(frame->object)[frame->index] : PyList_GetItem(frame->object, frame->index);
}

/* Writes the numbers that come next; most long lists are numbers, and nothing else. */
static bool write_numbers(Writer *w, Frame *frame)
{
    const Fast *fast = &w->state->fast;
    if (!fast->floats || !fast->lists || !fast->tuples) {
        return true;
    }
    PyObject **items = frame->kind == OUT_TUPLE ? fast_tuple_items(fast, frame->object) : fast_list_items(frame->object);
    Py_ssize_t index = frame->index, size = frame->size;
    uint8_t *to = w->to, *end = w->end - SLACK;
    for (; index < size; index++) {
        PyObject *item = items[index];
        int32_t value;
        if (UNLIKELY(to > end)) {
            w->to = to;
            if (!writer_grow(w, SLACK)) {
                frame->index = index;
                return false;
            }
            to = w->to;
            end = w->end - SLACK;
        }
        if (Py_TYPE(item) == &PyFloat_Type) {
            uint64_t bits = bits_of(fast_float(item));
            if (UNLIKELY(bits_not_finite(bits))) {
                break;
            }
            to = put_float(to, bits);
        }
        else if (Py_TYPE(item) == &PyLong_Type && LIKELY(fast_int(fast, item, &value))) {
            to = put_int32(to, value);
        }
        else {
            break;
        }
    }
    w->to = to;
    frame->index = index;
    return true;
}

/* Goes on with the list or tuple on top, until it is done or a child has been opened. False on an error. */
static bool run_sequence(Writer *w)
{
    const Fast *fast = &w->state->fast;
    Frame *frame = &w->frames[w->depth - 1];
    if (frame->kind != OUT_TUPLE && UNLIKELY(list_size(fast, frame->object) != frame->size)) {
        return fail_changed(w) != FAILED;
    }
    while (frame->index < frame->size) {
        PyObject *item = item_at(fast, frame);
        if (Py_TYPE(item) == &PyFloat_Type || Py_TYPE(item) == &PyLong_Type) {
            Py_ssize_t before = frame->index;
            if (!write_numbers(w, frame)) {
                return false;
            }
            if (frame->index > before) {
                continue;
            }
        }
        Outcome outcome = write_known(w, item);
        if (LIKELY(outcome == WRITTEN)) {
            frame->index++;
            continue;
        }
        if (outcome == UNKNOWN) {
            outcome = write_other(w, item);
            if (outcome == WRITTEN) {
                frame->index++;
            }
        }
        /* Another frame is on top, or Python code has run: the checks above are due again. */
        return outcome != FAILED;
    }
    if (frame->kind == OUT_LIST) {
        if (!ensure(w, 1)) {
            return false;
        }
        *w->to++ = NIL;
    }
    else if (frame->kind == OUT_IMPROPER && frame->index == frame->size) {
        PyObject *tail = frame->other;
        Outcome outcome = write_known(w, tail);
        if (outcome == UNKNOWN) {
            outcome = write_other(w, tail);
        }
        if (outcome != WRITTEN) {
            /* When the tail's own frame is done it counts as one more item, and the list is left by the next branch. */
            return outcome == OPENED;
        }
    }
    close_container(w);
    return true;
}

static PyObject *encoded_key(Writer *w, Py_ssize_t start)
{
    return PyBytes_FromStringAndSize((const char *)w->buffer + start, w->to - w->buffer - start);
}

/* Notes the key that has been written. False with an exception if the map has had it. */
COLD static bool note_key(Writer *w, Frame *frame)
{
    PyObject *bytes = encoded_key(w, frame->key_start);
    int found = bytes == NULL ? -1 : PySet_Contains(frame->seen, bytes);
    if (found == 1) {
        frame->stage = BEFORE_VALUE; /* the path names the key */
        write_fail(w, "keys that differ in Erlang", "two that are the same term");
    }
    bool noted = found == 0 && PySet_Add(frame->seen, bytes) == 0;
    Py_XDECREF(bytes);
    return noted;
}

/* Two keys of different types may be one term to Erlang, as "a" and b"a" in the str mapping: from here on the encoded keys are
 * compared. Those already written are of one simple type. They differ, and writing them again runs no Python code. */
COLD static bool watch_keys(Writer *w, Frame *frame)
{
    if ((frame->seen = PySet_New(NULL)) == NULL) {
        return false;
    }
    Py_ssize_t position = 0, start = w->to - w->buffer;
    PyObject *key;
    for (Py_ssize_t i = 0; i < frame->index && PyDict_Next(frame->object, &position, &key, NULL); i++) {
        if (Py_TYPE(key) != frame->key_type) {
            continue; /* changed meanwhile by a hook */
        }
        Outcome outcome = write_known(w, key);
        PyObject *bytes = outcome == WRITTEN ? encoded_key(w, start) : NULL;
        bool noted = bytes != NULL && PySet_Add(frame->seen, bytes) == 0;
        Py_XDECREF(bytes);
        w->to = w->buffer + start;
        if (!noted) {
            return false;
        }
    }
    return true;
}

/* Whether two keys of this one type are always two terms. */
static bool simple_key(const State *state, PyTypeObject *type)
{
    return type == &PyUnicode_Type || type == state->atom || type == &PyBytes_Type || type == state->byte_atom
           || type == &PyLong_Type;
}

/* Before a key is written: whether its type calls for more care. */
static inline bool check_key_type(Writer *w, Frame *frame)
{
    PyTypeObject *type = Py_TYPE(frame->key);
    if (LIKELY(type == frame->key_type) || frame->seen != NULL) {
        return true;
    }
    if (frame->index == 0) {
        frame->key_type = type;
        if (simple_key(w->state, type) || frame->size == 1) {
            return true;
        }
    }
    return watch_keys(w, frame);
}

/* Strings that are keys are written again and again. */
static inline Outcome write_key(Writer *w, PyObject *key)
{
    /* A charlist has elements, which are to be counted. */
    bool text = Py_TYPE(key) == &PyBytes_Type || (Py_TYPE(key) == &PyUnicode_Type && !w->encoder->as_bytes);
    Outcome outcome = text ? write_cached(w, key) : UNKNOWN;
    if (outcome == UNKNOWN) {
        Py_ssize_t start = w->to - w->buffer;
        outcome = write_known(w, key);
        if (text && outcome == WRITTEN) {
            cache_written(w, key, start);
        }
    }
    return outcome;
}

/* Goes on with the map on top, until it is done or a child has been opened. False on an error. */
static bool run_map(Writer *w)
{
    Frame *frame = &w->frames[w->depth - 1];
    if (UNLIKELY(PyDict_Size(frame->object) != frame->size)) {
        return fail_changed(w) != FAILED;
    }
    for (;;) {
        Outcome outcome;
        if (frame->stage == BEFORE_PAIR) {
            if (frame->index == frame->size) {
                if (UNLIKELY(PyDict_Size(frame->object) != frame->size)) {
                    return fail_changed(w) != FAILED;
                }
                close_container(w);
                return true;
            }
            if (UNLIKELY(!PyDict_Next(frame->object, &frame->position, &frame->key, &frame->other))) {
                return fail_changed(w) != FAILED;
            }
            if (!check_key_type(w, frame)) {
                return false;
            }
            frame->key_start = w->to - w->buffer;
            frame->stage = IN_KEY;
            outcome = write_key(w, frame->key);
            if (UNLIKELY(outcome == UNKNOWN)) {
                outcome = write_other(w, frame->key);
            }
            if (UNLIKELY(outcome != WRITTEN)) {
                return outcome == OPENED;
            }
            frame->stage = BEFORE_VALUE;
        }
        if (UNLIKELY(frame->seen != NULL) && !note_key(w, frame)) {
            return false;
        }
        frame->stage = IN_VALUE;
        outcome = write_known(w, frame->other);
        if (LIKELY(outcome == WRITTEN)) {
            child_done(w, frame);
            continue;
        }
        if (outcome == UNKNOWN) {
            outcome = write_other(w, frame->other);
            if (outcome == WRITTEN) {
                child_done(w, frame);
            }
        }
        /* Another frame is on top, or Python code has run: the check above is due again. */
        return outcome != FAILED;
    }
}

/* ---- calls ---- */

static bool writer_start(Writer *w, Encoder *encoder)
{
    if (encoder->cache == NULL && (encoder->cache = PyMem_Calloc((size_t)1 << CACHE_BITS, sizeof *encoder->cache)) == NULL) {
        PyErr_NoMemory();
        return false;
    }
    w->encoder = encoder;
    w->state = encoder->state;
    w->passed_on = 0;
    w->parts = NULL;
    w->quiet = w->collects = w->foreign = false;
    w->elements = 0;
    w->frames = w->inline_frames;
    w->depth = 0;
    w->room = INLINE_FRAMES;
    w->result = NULL;
    /* Taken away while in use: a hook may call this encoder again. */
    w->buffer = encoder->scratch;
    encoder->scratch = NULL;
    if (w->buffer == NULL && (w->buffer = PyMem_Malloc(SCRATCH)) == NULL) {
        PyErr_NoMemory();
        return false;
    }
    w->to = w->buffer;
    w->end = w->buffer + SCRATCH;
    return true;
}

static void writer_end(Writer *w)
{
    Encoder *encoder = w->encoder;
    if (w->result != NULL) {
        Py_DECREF(w->result);
    }
    else {
        writer_keep_scratch(encoder, w->buffer);
    }
    while (w->depth > 0) {
        Frame frame = w->frames[--w->depth];
        frame_drop(&frame);
    }
    if (w->frames != w->inline_frames) {
        PyMem_Free(w->frames);
    }
    Py_XDECREF(w->parts);
}

static bool write_term(Writer *w, PyObject *term)
{
    *w->to++ = VERSION;
    quiet_begin(w);
    Outcome outcome = write_known(w, term);
    if (outcome == UNKNOWN) {
        outcome = write_other(w, term);
    }
    bool good = outcome != FAILED;
    while (good && w->depth > 0) {
        good = w->frames[w->depth - 1].kind == OUT_MAP ? run_map(w) : run_sequence(w);
    }
    quiet_end(w);
    if (good && too_long(w)) {
        write_fail_bytes(w);
        return false;
    }
    return good;
}

static PyObject *encoder_encode(PyObject *self, PyObject *term)
{
    Writer w;
    if (!writer_start(&w, (Encoder *)self)) {
        return NULL;
    }
    Py_ssize_t guess = w.encoder->guess;
    bool good = guess <= SCRATCH || writer_move(&w, 0, guess + ROOM_AFTER);
    PyObject *bytes = good && write_term(&w, term) ? writer_result(&w) : NULL;
    writer_end(&w);
    return bytes;
}

static PyObject *encoder_encode_iovec(PyObject *self, PyObject *term)
{
    Writer w;
    if (!writer_start(&w, (Encoder *)self)) {
        return NULL;
    }
    w.parts = PyList_New(0);
    bool good = w.parts != NULL && write_term(&w, term) && writer_flush(&w);
    PyObject *parts = good ? Py_NewRef(w.parts) : NULL;
    writer_end(&w);
    return parts;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"options", NULL};
    PyObject *options;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Encoder", names, &options)) {
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Encoder *self = (Encoder *)alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = PyType_GetModuleState(type);
    self->options = Py_NewRef(options);
    if (!option_strings(options, &self->as_bytes) || !option_size(options, "max_bytes", &self->max_bytes)
        || !option_size(options, "max_depth", &self->max_depth) || !option_size(options, "max_elements", &self->max_elements)
        || !option_size(options, "max_digits", &self->max_digits)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int encoder_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Encoder *)self)->options);
    return 0;
}

static int encoder_clear(PyObject *self)
{
    Py_CLEAR(((Encoder *)self)->options);
    return 0;
}

static void encoder_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    encoder_clear(self);
    Encoder *encoder = (Encoder *)self;
    if (encoder->cache != NULL) {
        for (size_t i = 0; i < (size_t)1 << CACHE_BITS; i++) {
            Py_XDECREF(encoder->cache[i].object);
        }
        PyMem_Free(encoder->cache);
    }
    PyMem_Free(encoder->scratch);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef encoder_methods[] = {
    {"encode", encoder_encode, METH_O, PyDoc_STR("encode($self, term, /)\n--\n\nThe external format of `term`.")},
    {"encode_iovec", encoder_encode_iovec, METH_O,
     PyDoc_STR("encode_iovec($self, term, /)\n--\n\nThe same in pieces: large binaries are passed on, not copied.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Encoder(options)\n--\n\nTerms to bytes, as the options say.")},
    {Py_tp_new, (void *)encoder_new},
    {Py_tp_dealloc, (void *)encoder_dealloc},
    {Py_tp_traverse, (void *)encoder_traverse},
    {Py_tp_clear, (void *)encoder_clear},
    {Py_tp_methods, encoder_methods},
    {0, NULL},
};

PyType_Spec encoder_spec = {
    .name = "dspex_erl.etf._speedups.Encoder",
    .basicsize = sizeof(Encoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = encoder_slots,
};
