/* Bytes to Python values.
 *
 * One loop reads one term after the other. The finished children of the containers that are still open lie on one stack of values,
 * the containers themselves on a stack of frames; a container is built when its last child is there. So nothing unfinished is ever
 * visible to Python, depth costs memory only, and on an error it is enough to drop the values. Both stacks together stay below
 * a fixed multiple of the input: a container that announces more children than there are bytes for is refused.
 *
 * Atoms and short binary keys come from a small direct-mapped cache: a message names the same few over and over.
 */
#include "reader.h"

COLD static PyObject *fail_tag(Reader *r, const uint8_t *at)
{
    char got[40];
    PyOS_snprintf(got, sizeof got, "tag %d", *at);
    return read_fail(r, at, "a term", got);
}

/* ---- binaries ---- */

/* Text in the "str" mapping, or bytes when it is none. */
static inline PyObject *binary_new(Decoder *decoder, const uint8_t *body, Py_ssize_t size)
{
    if (!decoder->as_bytes) {
        bool invalid;
        PyObject *text = utf8_decode(body, size, &invalid);
        if (LIKELY(!invalid)) {
            return text;
        }
    }
    return PyBytes_FromStringAndSize((const char *)body, size);
}

/* The same for a short key of a map: one object, hashed once, for all maps that have it. */
static PyObject *key_get(Reader *r, const uint8_t *body, Py_ssize_t size)
{
    uint64_t head, tail;
    name_ends(body, (size_t)size, &head, &tail);
    Entry *entry = cache_slot(r->decoder, head, tail, (size_t)size, KEY);
    if (LIKELY(entry_is(entry, body, (size_t)size, head, tail, KEY))) {
        return Py_NewRef(entry->value);
    }
    PyObject *key = binary_new(r->decoder, body, size);
    /* An atom that this call has counted keeps its place: making room for a key is not worth the bookkeeping. */
    if (key != NULL && (entry->value == NULL || entry->kind == KEY || entry->call != r->call)) {
        entry_set(entry, Py_NewRef(key), body, (size_t)size, head, tail, KEY);
    }
    return key;
}

/* `source` as a read-only memoryview of bytes; the same object every time. Borrowed. */
COLD static PyObject *whole_view(Reader *r)
{
    if (r->view == NULL) {
        PyObject *given = PyMemoryView_FromObject(r->source);
        PyObject *fixed = given == NULL ? NULL : PyObject_CallMethodObjArgs(given, r->state->name[NAME_TOREADONLY], NULL);
        PyObject *format = PyUnicode_FromString("B");
        if (fixed != NULL && format != NULL) {
            r->view = PyObject_CallMethodObjArgs(fixed, r->state->name[NAME_CAST], format, NULL);
        }
        Py_XDECREF(format);
        Py_XDECREF(given);
        Py_XDECREF(fixed);
    }
    return r->view;
}

COLD static PyObject *view_new(Reader *r, const uint8_t *body, Py_ssize_t size)
{
    quiet_end(r); /* from 3.12 on Python code may give buffers */
    PyObject *view = whole_view(r);
    quiet_begin(r);
    return view == NULL ? NULL : PySequence_GetSlice(view, body - r->start, body - r->start + size);
}

/* A term that _rare.leaf() reads. Sets `*next` behind it. */
COLD static PyObject *leaf_new(Reader *r, const uint8_t *at, const uint8_t **next)
{
    quiet_end(r);
    PyObject *data = PyBytes_CheckExact(r->source) ? r->source : whole_view(r);
    PyObject *helper = data == NULL ? NULL : state_helper(r->state, HELP_LEAF);
    if (helper == NULL) {
        return NULL;
    }
    Py_ssize_t offset = at - r->start;
    PyObject *pair = PyObject_CallFunction(helper, "OnO", data, offset, r->decoder->options);
    Py_DECREF(helper);
    if (pair == NULL) {
        return read_fail_from_helper(r, r->top);
    }
    PyObject *term;
    Py_ssize_t end;
    if (!PyArg_ParseTuple(pair, "On:leaf", &term, &end)) {
        term = NULL;
    }
    else if (end <= offset || end > r->end - r->start) {
        PyErr_SetString(PyExc_SystemError, "leaf() went beyond its input");
        term = NULL;
    }
    else {
        Py_INCREF(term);
        *next = r->start + end;
    }
    Py_DECREF(pair);
    quiet_begin(r);
    return term;
}

/* ---- numbers ---- */

/* A bignum of more than eight bytes. */
static PyObject *bignum_new(State *state, const uint8_t *digits, Py_ssize_t size, bool negative)
{
    /* Not a "y#" format: how that takes its length depends on the headers, and the headers of 3.13 are at odds with 3.10 to
     * 3.12. */
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)digits, size);
    PyObject *number = bytes == NULL ? NULL : PyObject_CallFunction(state->int_from_bytes, "Os", bytes, "little");
    Py_XDECREF(bytes);
    if (number != NULL && negative) {
        PyObject *negated = PyNumber_Negative(number);
        Py_DECREF(number);
        return negated;
    }
    return number;
}

static PyObject *small_big_new(const uint8_t *digits, Py_ssize_t size, bool negative)
{
    uint64_t magnitude = 0;
    for (Py_ssize_t i = size; i-- > 0;) {
        magnitude = magnitude << 8 | digits[i];
    }
    if (!negative) {
        return PyLong_FromUnsignedLongLong(magnitude);
    }
    if (magnitude <= (uint64_t)INT64_MAX) {
        return PyLong_FromLongLong(-(int64_t)magnitude);
    }
    PyObject *number = PyLong_FromUnsignedLongLong(magnitude);
    PyObject *negated = number == NULL ? NULL : PyNumber_Negative(number);
    Py_XDECREF(number);
    return negated;
}

/* ---- containers: each takes over the references in `items`, whether it succeeds or not ---- */

static void drop(PyObject **items, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF(items[i]);
    }
}

/* A plain list that nobody else has seen becomes a List. Takes over `list`. */
static PyObject *list_freeze(State *state, PyObject *list)
{
    if (LIKELY(state->fast.relabel)) {
        Py_INCREF(state->list);
        Py_SET_TYPE(list, state->list);
        return list;
    }
    PyObject *frozen = state->list_new(state->list, state->no_arguments, NULL);
    if (frozen != NULL && PyList_SetSlice(frozen, 0, 0, list) < 0) {
        Py_CLEAR(frozen);
    }
    Py_DECREF(list);
    return frozen;
}

static PyObject *list_new(State *state, PyObject **items, Py_ssize_t count, bool frozen)
{
    PyObject *list = PyList_New(count);
    if (list == NULL) {
        drop(items, count);
        return NULL;
    }
    if (LIKELY(state->fast.lists)) {
        memcpy(fast_list_items(list), items, (size_t)count * sizeof *items);
    }
    else {
        for (Py_ssize_t i = 0; i < count; i++) {
            PyList_SetItem(list, i, items[i]);
        }
    }
    return frozen ? list_freeze(state, list) : list;
}

static PyObject *tuple_new(State *state, PyObject **items, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL) {
        drop(items, count);
        return NULL;
    }
    if (LIKELY(state->fast.tuples)) {
        memcpy(fast_tuple_items(&state->fast, tuple), items, (size_t)count * sizeof *items);
    }
    else {
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SetItem(tuple, i, items[i]);
        }
    }
    return tuple;
}

/* ImproperList without its constructor, which would copy. The last of the `count` items is the tail. */
static PyObject *improper_new(State *state, PyObject **items, Py_ssize_t count)
{
    PyObject *tail = items[count - 1];
    PyObject *list = list_new(state, items, count - 1, false);
    PyObject *improper = list == NULL ? NULL : state->list_new(state->improper_list, state->no_arguments, NULL);
    if (improper != NULL) {
        /* The class refuses assignments, object does not. */
        if (PyList_SetSlice(improper, 0, 0, list) < 0 || PyObject_GenericSetAttr(improper, state->name[NAME_TAIL], tail) < 0) {
            Py_CLEAR(improper);
        }
    }
    Py_XDECREF(list);
    Py_DECREF(tail);
    return improper;
}

static PyObject *byte_list_new(State *state, const uint8_t *body, Py_ssize_t size, bool frozen)
{
    PyObject *list = PyList_New(size);
    if (list == NULL) {
        return NULL;
    }
    if (LIKELY(state->fast.lists)) {
        PyObject **items = fast_list_items(list);
        for (Py_ssize_t i = 0; i < size; i++) {
            items[i] = Py_NewRef(state->small_int[body[i]]);
        }
    }
    else {
        for (Py_ssize_t i = 0; i < size; i++) {
            PyList_SetItem(list, i, Py_NewRef(state->small_int[body[i]]));
        }
    }
    return frozen ? list_freeze(state, list) : list;
}

/* ---- maps ---- */

/* Whether hashing and comparing keys of this type runs no Python code. */
static inline bool plain_key(const State *state, PyTypeObject *type)
{
    return type == &PyUnicode_Type || type == state->atom || type == &PyBytes_Type || type == state->byte_atom
           || type == &PyLong_Type;
}

/* Every second one of the `count` values from `items` on, as a list. */
static PyObject *every_second(PyObject **items, Py_ssize_t count)
{
    PyObject *list = PyList_New(count / 2);
    for (Py_ssize_t i = 0; list != NULL && i < count / 2; i++) {
        PyList_SetItem(list, i, Py_NewRef(items[2 * i]));
    }
    return list;
}

/* Whether so many keys have one hash that a dict of them would be slow. Keys of text cannot: their hashes are randomised.
 *
 * The counters are a sketch: keys of one hash share a counter, and a few others may share it with them. Only when one runs over
 * does _rare.check_hashes() count exactly. False with an exception when it finds too many, or when a key cannot be hashed. */
static bool hashes_ok(Reader *r, PyObject **items, Py_ssize_t count, Py_ssize_t offset, Py_ssize_t top)
{
    State *state = r->state;
    uint8_t *counters = NULL;
    int bits = 10;
    while ((Py_ssize_t)1 << bits < count) {
        bits++;
    }
    bool suspect = false, good = true;
    for (Py_ssize_t i = 0; i < count && good && !suspect; i += 2) {
        PyTypeObject *type = Py_TYPE(items[i]);
        if (!plain_key(state, type)) {
            quiet_end(r);
        }
        else if (type != &PyLong_Type) {
            continue;
        }
        if (counters == NULL && (counters = PyMem_Calloc((size_t)1 << bits, 1)) == NULL) {
            PyErr_NoMemory();
            return false;
        }
        Py_hash_t hash = PyObject_Hash(items[i]);
        if (hash == -1) {
            read_fail_key(r, offset, top);
            good = false;
        }
        else {
            uint64_t mixed = (uint64_t)hash * UINT64_C(0x9E3779B97F4A7C15);
            suspect = ++counters[(mixed ^ mixed >> 29) >> 7 & (((uint64_t)1 << bits) - 1)] > MAX_SAME_HASH;
        }
    }
    PyMem_Free(counters);
    if (!good || !suspect) {
        return good;
    }
    quiet_end(r);
    PyObject *keys = every_second(items, count);
    PyObject *helper = keys == NULL ? NULL : state_helper(state, HELP_CHECK_HASHES);
    PyObject *checked = helper == NULL ? NULL : PyObject_CallFunction(helper, "OnO", keys, offset, r->decoder->options);
    if (checked == NULL) {
        read_fail_key(r, offset, top);
    }
    Py_XDECREF(keys);
    Py_XDECREF(helper);
    Py_XDECREF(checked);
    return checked != NULL;
}

/* Python holds some of these keys for equal. */
COLD static PyObject *map_clashing(Reader *r, PyObject **items, Py_ssize_t count, Py_ssize_t offset, Py_ssize_t top)
{
    quiet_end(r);
    PyObject *keys = every_second(items, count), *values = every_second(items + 1, count);
    PyObject *helper = keys == NULL || values == NULL ? NULL : state_helper(r->state, HELP_CLASHING);
    PyObject *map = helper == NULL ? NULL : PyObject_CallFunction(helper, "OOnO", keys, values, offset, r->decoder->options);
    Py_XDECREF(keys);
    Py_XDECREF(values);
    Py_XDECREF(helper);
    return map == NULL ? read_fail_key(r, offset, top) : map;
}

/* Calls `helper` on a finished container, which may become something else. Takes over `term`. */
COLD static PyObject *replaced(Reader *r, Helper which, PyObject *term, Py_ssize_t offset, Py_ssize_t top)
{
    quiet_end(r);
    PyObject *helper = state_helper(r->state, which);
    PyObject *result = helper == NULL ? NULL : PyObject_CallFunction(helper, "OnO", term, offset, r->decoder->options);
    Py_XDECREF(helper);
    Py_DECREF(term);
    if (result == NULL) {
        return read_fail_from_helper(r, top);
    }
    quiet_begin(r);
    return result;
}

/* The map of the top frame, which has been taken off; its children are still on the stack of values and stay there. */
static PyObject *map_new(Reader *r, const Frame *frame)
{
    State *state = r->state;
    Py_ssize_t count = r->top - frame->base;
    PyObject **items = r->values + frame->base;
    if (UNLIKELY(count > 2 * MANY_KEYS) && !hashes_ok(r, items, count, frame->offset, frame->base)) {
        return NULL;
    }
    bool frozen = r->decoder->as_bytes || frame->key_depth > 0;
    PyObject *map = frozen ? state->dict_new(state->map, state->no_arguments, NULL) : PyDict_New();
    if (map == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i += 2) {
        if (UNLIKELY(!plain_key(state, Py_TYPE(items[i])))) {
            quiet_end(r);
        }
        if (UNLIKELY(PyDict_SetItem(map, items[i], items[i + 1]) < 0)) {
            Py_DECREF(map);
            return read_fail_key(r, frame->offset, frame->base);
        }
    }
    if (UNLIKELY(PyDict_Size(map) != count / 2)) {
        Py_DECREF(map);
        map = map_clashing(r, items, count, frame->offset, frame->base);
    }
    if (UNLIKELY(r->decoder->has_structs) && map != NULL) {
        return replaced(r, HELP_STRUCT, map, frame->offset, frame->base);
    }
    quiet_begin(r);
    return map;
}

/* ---- the loop ---- */

static bool grow_values(Reader *r, Py_ssize_t more)
{
    Py_ssize_t room = r->values_room;
    while (room - r->top < more) {
        room *= 2;
    }
    bool first = r->values == r->inline_values;
    PyObject **values = PyMem_Realloc(first ? NULL : r->values, (size_t)room * sizeof *values);
    if (values == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (first) {
        memcpy(values, r->inline_values, (size_t)r->top * sizeof *values);
    }
    r->values = values;
    r->values_room = room;
    return true;
}

static bool grow_frames(Reader *r)
{
    Py_ssize_t room = 2 * r->frames_room;
    bool first = r->frames == r->inline_frames;
    Frame *frames = PyMem_Realloc(first ? NULL : r->frames, (size_t)room * sizeof *frames);
    if (frames == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (first) {
        memcpy(frames, r->inline_frames, sizeof r->inline_frames);
    }
    r->frames = frames;
    r->frames_room = room;
    return true;
}

static inline bool count_elements(Reader *r, const uint8_t *at, Py_ssize_t count)
{
    if (UNLIKELY(count > r->decoder->max_elements - r->elements)) {
        read_fail_limit(r, at, "max_elements", r->decoder->max_elements, "more");
        return false;
    }
    r->elements += count;
    return true;
}

/* Terms that the open containers need behind the one that is being read. */
static inline Py_ssize_t terms_owed(const Reader *r)
{
    if (r->depth == 0) {
        return 0;
    }
    const Frame *frame = &r->frames[r->depth - 1];
    return frame->owed + frame->left - 1 + (frame->kind == IN_LIST);
}

static inline bool at_key(const Reader *r)
{
    if (r->depth == 0) {
        return false;
    }
    const Frame *frame = &r->frames[r->depth - 1];
    return frame->kind == IN_MAP && ((r->top - frame->base) & 1) == 0;
}

/* Containers from here up to the map of which this is the key, if it is one, or is in one. */
static inline int key_depth_here(const Reader *r)
{
    if (r->depth == 0) {
        return 0;
    }
    int outer = r->frames[r->depth - 1].key_depth;
    return outer > 0 ? outer + 1 : at_key(r);
}

/* Opens the container whose tag is at `at`, and whose `count` children begin at `body`. */
static inline bool open_container(Reader *r, FrameKind kind, const uint8_t *at, const uint8_t *body, Py_ssize_t count)
{
    Decoder *decoder = r->decoder;
    if (UNLIKELY(r->depth >= decoder->max_depth)) {
        read_fail_limit(r, at, "max_depth", decoder->max_depth, "one more level");
        return false;
    }
    int key_depth = key_depth_here(r);
    if (UNLIKELY(key_depth > MAX_KEY_DEPTH)) {
        read_fail_limit(r, at, "max_depth", MAX_KEY_DEPTH, "one more level inside a key");
        return false;
    }
    if (!count_elements(r, at, count)) {
        return false;
    }
    Py_ssize_t owed = terms_owed(r), terms = count + (kind == IN_LIST);
    if (UNLIKELY(terms > (r->end - body) - owed)) {
        read_fail_truncated(r);
        return false;
    }
    if ((UNLIKELY(r->values_room - r->top < terms) && !grow_values(r, terms))
        || (UNLIKELY(r->depth == r->frames_room) && !grow_frames(r))) {
        return false;
    }
    r->frames[r->depth++] = (Frame){
        .base = r->top,
        .left = count,
        .owed = owed,
        .offset = at - r->start,
        .kind = (uint8_t)kind,
        .key_depth = (uint8_t)key_depth,
    };
    return true;
}

/* A list's tail is a list: the same list goes on, which keeps [1|[2|[3|...]]] linear. */
static bool continue_list(Reader *r, const uint8_t *at, const uint8_t *body, Py_ssize_t count)
{
    if (!count_elements(r, at, count)) {
        return false;
    }
    Frame *frame = &r->frames[r->depth - 1];
    if (count + 1 > (r->end - body) - frame->owed) {
        read_fail_truncated(r);
        return false;
    }
    frame->kind = IN_LIST;
    frame->left = count;
    return r->values_room - r->top >= count + 1 || grow_values(r, count + 1);
}

/* The same for a tail that is a string. Its bytes become the last items. */
static bool finish_with_string(Reader *r, const uint8_t *body, Py_ssize_t size)
{
    if (r->values_room - r->top < size && !grow_values(r, size)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        r->values[r->top++] = Py_NewRef(r->state->small_int[body[i]]);
    }
    return true;
}

static PyObject *close_container(Reader *r);

/* Reads one term from `*position` on, and leaves `*position` behind it. */
static PyObject *read_term(Reader *r, const uint8_t **position)
{
    Decoder *decoder = r->decoder;
    State *state = r->state;
    const uint8_t *p = *position, *end = r->end, *at;
    PyObject *value;

/* What this loop is made of: the tag is at `at`, `p` moves behind the term. */
#define NEED(size)                       \
    if (UNLIKELY(end - at < (size))) {   \
        return read_fail_truncated(r);        \
    }
#define NEED_BODY(size)                  \
    if (UNLIKELY(end - p < (size))) {    \
        return read_fail_truncated(r);        \
    }

next:
    at = p;
    NEED(1);
    switch (*at) {
    case SMALL_INTEGER:
        NEED(2);
        value = Py_NewRef(state->small_int[at[1]]);
        p = at + 2;
        break;

    case INTEGER:
        NEED(5);
        value = PyLong_FromLong((int32_t)load32(at + 1));
        p = at + 5;
        break;

    case NEW_FLOAT: {
        NEED(9);
        uint64_t bits = load64(at + 1);
        if (UNLIKELY(bits_not_finite(bits))) {
            return read_fail(r, at, "a finite float", "a NaN or an infinity");
        }
        value = PyFloat_FromDouble(double_of(bits));
        p = at + 9;
        break;
    }

    case SMALL_BIG:
    case LARGE_BIG: {
        bool large = *at == LARGE_BIG;
        NEED(large ? 5 : 2);
        Py_ssize_t size = large ? (Py_ssize_t)load32(at + 1) : at[1];
        if (UNLIKELY(size > decoder->max_digits)) {
            return read_fail_limit(r, at, "max_digits", decoder->max_digits, "an integer of more bytes");
        }
        p = at + (large ? 6 : 3);
        NEED(p - at);
        NEED_BODY(size);
        bool negative = p[-1] != 0;
        value = size <= 8 ? small_big_new(p, size, negative) : bignum_new(state, p, size, negative);
        p += size;
        break;
    }

    case SMALL_ATOM_UTF8:
    case SMALL_ATOM_LATIN1: {
        NEED(2);
        Py_ssize_t size = at[1];
        p = at + 2;
        NEED_BODY(size);
        value = atom_get(r, at, p, size, *at == SMALL_ATOM_UTF8 ? UTF8_NAME : LATIN1_NAME);
        p += size;
        break;
    }

    case ATOM_UTF8:
    case ATOM_LATIN1: {
        NEED(3);
        Py_ssize_t size = load16(at + 1);
        p = at + 3;
        NEED_BODY(size);
        value = atom_get(r, at, p, size, *at == ATOM_UTF8 ? UTF8_NAME : LATIN1_NAME);
        p += size;
        break;
    }

    case BINARY: {
        NEED(5);
        Py_ssize_t size = (Py_ssize_t)load32(at + 1);
        p = at + 5;
        NEED_BODY(size);
        if (size <= CACHED_SIZE && at_key(r)) {
            value = key_get(r, p, size);
        }
        else if (UNLIKELY(decoder->view_threshold > 0) && size >= decoder->view_threshold && key_depth_here(r) == 0) {
            value = view_new(r, p, size);
        }
        else {
            value = binary_new(decoder, p, size);
        }
        p += size;
        break;
    }

    case NIL:
        value = decoder->as_bytes || key_depth_here(r) ? Py_NewRef(state->empty_list) : PyList_New(0);
        p = at + 1;
        break;

    case STRING: {
        NEED(3);
        Py_ssize_t size = load16(at + 1);
        p = at + 3;
        if (!count_elements(r, at, size)) {
            return NULL;
        }
        NEED_BODY(size);
        if (UNLIKELY(r->depth > 0) && r->frames[r->depth - 1].kind == IN_TAIL) {
            if (!finish_with_string(r, p, size)) {
                return NULL;
            }
            p += size;
            r->frames[r->depth - 1].kind = IN_LIST;
            goto close;
        }
        bool frozen = decoder->as_bytes || key_depth_here(r);
        value = frozen && size == 0 ? Py_NewRef(state->empty_list) : byte_list_new(state, p, size, frozen);
        p += size;
        break;
    }

    case LIST: {
        NEED(5);
        Py_ssize_t count = (Py_ssize_t)load32(at + 1);
        p = at + 5;
        if (UNLIKELY(count == 0)) {
            goto next; /* as Erlang reads it: the tail, which follows, is the term */
        }
        if (UNLIKELY(r->depth > 0) && r->frames[r->depth - 1].kind == IN_TAIL ? !continue_list(r, at, p, count)
                                                                                : !open_container(r, IN_LIST, at, p, count)) {
            return NULL;
        }
        goto next;
    }

    case SMALL_TUPLE:
    case LARGE_TUPLE: {
        bool large = *at == LARGE_TUPLE;
        NEED(large ? 5 : 2);
        Py_ssize_t count = large ? (Py_ssize_t)load32(at + 1) : at[1];
        p = at + (large ? 5 : 2);
        if (count == 0) {
            value = PyTuple_New(0);
            break;
        }
        if (!open_container(r, IN_TUPLE, at, p, count)) {
            return NULL;
        }
        goto next;
    }

    case MAP: {
        NEED(5);
        Py_ssize_t count = (Py_ssize_t)load32(at + 1);
        p = at + 5;
        if (count == 0) {
            value = decoder->as_bytes || key_depth_here(r) ? Py_NewRef(state->empty_map) : PyDict_New();
            break;
        }
        if (!open_container(r, IN_MAP, at, p, 2 * count)) {
            return NULL;
        }
        goto next;
    }

    case FLOAT_TEXT:
    case BIT_BINARY:
    case NEW_PID:
    case PID:
    case NEW_PORT:
    case V4_PORT:
    case PORT:
    case NEWER_REFERENCE:
    case NEW_REFERENCE:
    case REFERENCE:
    case EXPORT:
    case NEW_FUN:
    case FUN:
        value = leaf_new(r, at, &p);
        break;

    default:
        return fail_tag(r, at);
    }

    for (;;) {
        if (UNLIKELY(value == NULL)) {
            return NULL;
        }
        if (r->depth == 0) {
            *position = p;
            return value;
        }
        r->values[r->top++] = value;
        Frame *frame = &r->frames[r->depth - 1];
        if (--frame->left > 0) {
            goto next;
        }
        if (frame->kind == IN_LIST) {
            if (UNLIKELY(p >= end || *p != NIL)) {
                frame->kind = IN_TAIL;
                frame->left = 1;
                goto next;
            }
            p++;
        }
    close:
        value = close_container(r);
    }
#undef NEED
#undef NEED_BODY
}

/* Takes the top frame off and its children with it, and gives the container that they make. */
static PyObject *close_container(Reader *r)
{
    State *state = r->state;
    Frame frame = r->frames[--r->depth];
    PyObject **items = r->values + frame.base;
    Py_ssize_t count = r->top - frame.base;
    PyObject *value;
    switch ((FrameKind)frame.kind) {
    case IN_LIST:
        r->top = frame.base;
        return list_new(state, items, count, r->decoder->as_bytes || frame.key_depth > 0);
    case IN_TUPLE:
        r->top = frame.base;
        value = tuple_new(state, items, count);
        if (UNLIKELY(r->saw_marker) && count == 3 && value != NULL) {
            return replaced(r, HELP_OPAQUE, value, frame.offset, frame.base);
        }
        return value;
    case IN_TAIL:
        r->top = frame.base;
        /* A NIL behind an empty LIST_EXT comes this way, and is no tail. */
        value = items[count - 1];
        if ((Py_TYPE(value) == &PyList_Type || Py_TYPE(value) == state->list) && PyList_Size(value) == 0) {
            Py_DECREF(value);
            return list_new(state, items, count - 1, r->decoder->as_bytes || frame.key_depth > 0);
        }
        return improper_new(state, items, count);
    case IN_MAP:
        value = map_new(r, &frame);
        /* They stayed for the paths of errors, and for Python code that a hash may have run. */
        r->top = frame.base;
        if (LIKELY(!r->foreign) || value == NULL) {
            drop(items, count);
            return value;
        }
        quiet_end(r); /* some may end here, in Python code of theirs */
        drop(items, count);
        quiet_begin(r);
        return value;
    }
    Py_UNREACHABLE();
}

/* ---- calls ---- */

static void reader_start(Reader *r, Decoder *decoder, PyObject *source, const uint8_t *start, Py_ssize_t size)
{
    r->decoder = decoder;
    r->state = decoder->state;
    r->source = source;
    r->view = NULL;
    r->start = start;
    r->end = start + size;
    r->within = -1;
    r->quiet = r->collects = r->foreign = false;
    r->call = ++decoder->calls;
    r->elements = r->atoms = 0;
    r->counted = NULL;
    r->saw_marker = false;
    r->frames = r->inline_frames;
    r->depth = 0;
    r->frames_room = INLINE_FRAMES;
    r->values = r->inline_values;
    r->top = 0;
    r->values_room = INLINE_VALUES;
}

static void reader_end(Reader *r)
{
    quiet_end(r);
    drop(r->values, r->top);
    if (r->values != r->inline_values) {
        PyMem_Free(r->values);
    }
    if (r->frames != r->inline_frames) {
        PyMem_Free(r->frames);
    }
    Py_XDECREF(r->counted);
    Py_XDECREF(r->view);
}

/* The term behind the tag COMPRESSED at `*position`, read from what it inflates to. */
COLD static PyObject *read_compressed(Reader *r, const uint8_t **position)
{
    PyObject *data = PyBytes_CheckExact(r->source) ? r->source : whole_view(r);
    PyObject *helper = data == NULL ? NULL : state_helper(r->state, HELP_INFLATE);
    if (helper == NULL) {
        return NULL;
    }
    Py_ssize_t offset = *position - r->start;
    PyObject *pair = PyObject_CallFunction(helper, "OnO", data, offset, r->decoder->options);
    Py_DECREF(helper);
    if (pair == NULL) {
        return read_fail_from_helper(r, r->top);
    }
    PyObject *inflated, *term = NULL;
    Py_ssize_t next;
    if (PyArg_ParseTuple(pair, "Sn:inflate", &inflated, &next)) {
        if (next <= offset || next > r->end - r->start) {
            PyErr_SetString(PyExc_SystemError, "inflate() went beyond its input");
        }
        else {
            Reader inner;
            const uint8_t *start = (const uint8_t *)PyBytes_AsString(inflated), *p = start;
            reader_start(&inner, r->decoder, inflated, start, PyBytes_Size(inflated));
            inner.within = offset;
            quiet_begin(&inner);
            term = read_term(&inner, &p);
            if (term != NULL && p != inner.end) {
                Py_CLEAR(term);
                read_fail(&inner, p, "one term inside the compressed one", "more bytes");
            }
            reader_end(&inner);
            *position = r->start + next;
        }
    }
    Py_DECREF(pair);
    return term;
}

/* The term, version byte included, at `offset` of the `size` bytes at `start`; `*next` becomes the offset behind it. */
static PyObject *decode_at(Decoder *decoder, PyObject *source, const uint8_t *start, Py_ssize_t size, Py_ssize_t offset,
                           Py_ssize_t *next)
{
    Reader r;
    if (decoder->cache == NULL) {
        decoder->cache = PyMem_Calloc((size_t)1 << CACHE_BITS, sizeof *decoder->cache);
        if (decoder->cache == NULL) {
            return PyErr_NoMemory();
        }
    }
    reader_start(&r, decoder, source, start, size);
    const uint8_t *p = start + offset;
    PyObject *term;
    if (size - offset > decoder->max_bytes) {
        term = read_fail_limit(&r, p, "max_bytes", decoder->max_bytes, "more bytes");
    }
    else if (p == r.end) {
        term = read_fail_truncated(&r);
    }
    else if (*p != VERSION) {
        term = read_fail(&r, p, "the version byte 131", "another byte");
    }
    else {
        p++;
        if (p < r.end && *p == COMPRESSED) {
            term = read_compressed(&r, &p);
        }
        else {
            quiet_begin(&r);
            term = read_term(&r, &p);
            quiet_end(&r);
        }
    }
    if (term != NULL && next == NULL && p != r.end) {
        Py_CLEAR(term);
        read_fail(&r, p, "nothing behind the term", "more bytes");
    }
    if (next != NULL) {
        *next = p - start;
    }
    reader_end(&r);
    return term;
}

static PyObject *with_buffer(Decoder *decoder, PyObject *data, Py_ssize_t offset, Py_ssize_t *next)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) {
        if (PyErr_ExceptionMatches(PyExc_BufferError)) {
            PyErr_SetString(PyExc_TypeError, "expected contiguous bytes, got a view with gaps");
        }
        else if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "expected bytes or the like, got %R", Py_TYPE(data));
        }
        return NULL;
    }
    PyObject *term = NULL;
    if (offset < 0 || offset > buffer.len) {
        PyErr_SetString(PyExc_ValueError, "expected an offset inside the bytes");
    }
    else {
        /* An empty buffer may have no address. */
        const uint8_t *start = buffer.len > 0 ? buffer.buf : (const uint8_t *)"";
        term = decode_at(decoder, data, start, buffer.len, offset, next);
    }
    PyBuffer_Release(&buffer);
    return term;
}

static PyObject *decoder_decode(PyObject *self, PyObject *data)
{
    Decoder *decoder = (Decoder *)self;
    if (LIKELY(PyBytes_CheckExact(data))) {
        return decode_at(decoder, data, (const uint8_t *)PyBytes_AsString(data), PyBytes_Size(data), 0, NULL);
    }
    return with_buffer(decoder, data, 0, NULL);
}

static PyObject *decoder_decode_from(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "offset", NULL};
    PyObject *data, *index = NULL;
    Py_ssize_t offset = 0, next;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:decode_from", names, &data, &index)) {
        return NULL;
    }
    if (index != NULL) {
        offset = PyNumber_AsSsize_t(index, NULL); /* a number too large becomes one that is too large */
        if (offset == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    PyObject *term = with_buffer((Decoder *)self, data, offset, &next);
    return term == NULL ? NULL : Py_BuildValue("(Nn)", term, next);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"options", NULL};
    PyObject *options;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Decoder", names, &options)) {
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Decoder *self = (Decoder *)alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = PyType_GetModuleState(type);
    self->options = Py_NewRef(options);
    if (!option_set(options, "structs", &self->has_structs) || !option_strings(options, &self->as_bytes)
        || !option_size(options, "max_bytes", &self->max_bytes)
        || !option_size(options, "max_depth", &self->max_depth) || !option_size(options, "max_elements", &self->max_elements)
        || !option_size(options, "max_atoms", &self->max_atoms) || !option_size(options, "max_digits", &self->max_digits)
        || !option_size(options, "view_threshold", &self->view_threshold)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int decoder_traverse(PyObject *self, visitproc visit, void *arg)
{
    Decoder *decoder = (Decoder *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(decoder->options);
    /* The cache holds atoms and text only, which refer to nothing that could refer back. */
    return 0;
}

static int decoder_clear(PyObject *self)
{
    Py_CLEAR(((Decoder *)self)->options);
    return 0;
}

static void decoder_dealloc(PyObject *self)
{
    Decoder *decoder = (Decoder *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    decoder_clear(self);
    if (decoder->cache != NULL) {
        for (size_t i = 0; i < (size_t)1 << CACHE_BITS; i++) {
            Py_XDECREF(decoder->cache[i].value);
        }
        PyMem_Free(decoder->cache);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef decoder_methods[] = {
    {"decode", decoder_decode, METH_O, PyDoc_STR("decode($self, data, /)\n--\n\nThe term that `data` is.")},
    {"decode_from", (PyCFunction)(void (*)(void))decoder_decode_from, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("decode_from($self, data, offset=0)\n--\n\nThe term at `offset`, and the offset behind it.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Decoder(options)\n--\n\nBytes to terms, as the options say.")},
    {Py_tp_new, (void *)decoder_new},
    {Py_tp_dealloc, (void *)decoder_dealloc},
    {Py_tp_traverse, (void *)decoder_traverse},
    {Py_tp_clear, (void *)decoder_clear},
    {Py_tp_methods, decoder_methods},
    {0, NULL},
};

PyType_Spec decoder_spec = {
    .name = "dspex_erl.etf._speedups.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = decoder_slots,
};
