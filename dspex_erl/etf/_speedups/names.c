/* Atoms that are not in the decoder's cache, and what is counted of them. */
#include "reader.h"

/* Takes over the reference to `value`. */
void entry_set(Entry *entry, PyObject *value, const uint8_t *name, size_t size, uint64_t head, uint64_t tail, NameKind kind)
{
    PyObject *old = entry->value;
    entry->value = value;
    entry->head = head;
    entry->tail = tail;
    entry->size = (uint8_t)size;
    entry->kind = (uint8_t)kind;
    if (size > 16) {
        memcpy(entry->middle, name + 8, size - 16);
    }
    Py_XDECREF(old);
}

/* The atom of this name as this mapping has it; NULL without an exception for an invalid name. */
static PyObject *atom_new(Reader *r, const uint8_t *name, Py_ssize_t size, NameKind kind)
{
    Decoder *decoder = r->decoder;
    State *state = r->state;
    Py_ssize_t characters = size;
    if ((kind == UTF8_NAME && !utf8_count(name, size, &characters)) || characters > ATOM_CHARACTERS) {
        return NULL;
    }
#define NAMED(text) (size == sizeof text - 1 && memcmp(name, text, sizeof text - 1) == 0)
    if (NAMED("true")) {
        return Py_NewRef(Py_True);
    }
    if (NAMED("false")) {
        return Py_NewRef(Py_False);
    }
    if (decoder->as_bytes ? NAMED("undefined") : NAMED("nil")) {
        return Py_NewRef(Py_None);
    }
    PyObject *text = kind == UTF8_NAME ? PyUnicode_DecodeUTF8((const char *)name, size, "strict")
                                       : PyUnicode_DecodeLatin1((const char *)name, size, "strict");
    if (text == NULL) {
        return NULL;
    }
    PyObject *atom = NULL;
    if (decoder->as_bytes) {
        /* Through the class, which keeps one object for one name. */
        quiet_end(r);
        atom = PyObject_CallFunctionObjArgs((PyObject *)state->byte_atom, text, NULL);
        if (atom != NULL) {
            quiet_begin(r);
        }
    }
    else {
        /* Not through it: it would only check again what has been checked here. */
        PyObject *arguments = PyTuple_Pack(1, text);
        if (arguments != NULL) {
            atom = state->str_new(state->atom, arguments, NULL);
            Py_DECREF(arguments);
        }
    }
    Py_DECREF(text);
    return atom;
}

static PyObject *atom_key(const uint8_t *name, Py_ssize_t size, NameKind kind)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size + 1);
    if (bytes != NULL) {
        char *text = PyBytes_AsString(bytes);
        text[0] = (char)kind;
        memcpy(text + 1, name, (size_t)size);
    }
    return bytes;
}

/* Notes for the rest of this call that the atom in `entry`, which is about to leave the cache, has been counted. */
static bool keep_counted(Reader *r, const Entry *entry)
{
    uint8_t name[CACHED_SIZE];
    size_t size = entry->size;
    if (size >= 8) {
        memcpy(name, &entry->head, 8);
        memcpy(name + size - 8, &entry->tail, 8);
        if (size > 16) {
            memcpy(name + 8, entry->middle, size - 16);
        }
    }
    else if (size >= 4) {
        uint32_t head = (uint32_t)entry->head, tail = (uint32_t)entry->tail;
        memcpy(name, &head, 4);
        memcpy(name + size - 4, &tail, 4);
    }
    else if (size > 0) {
        name[0] = (uint8_t)entry->head;
        name[size / 2] = (uint8_t)(entry->tail >> 8);
        name[size - 1] = (uint8_t)entry->tail;
    }
    if (r->counted == NULL && (r->counted = PyDict_New()) == NULL) {
        return false;
    }
    PyObject *key = atom_key(name, (Py_ssize_t)size, (NameKind)entry->kind);
    bool kept = key != NULL && PyDict_SetItem(r->counted, key, entry->value) == 0;
    Py_XDECREF(key);
    return kept;
}

/* An atom that is not in the cache, or cannot be for its length. New reference. */
PyObject *atom_uncached(Reader *r, const uint8_t *at, const uint8_t *name, Py_ssize_t size, NameKind kind, Entry *entry)
{
    static const char marker[] = "$erlport.opaque";
    PyObject *atom = NULL, *key = NULL;
    if (r->counted != NULL) {
        key = atom_key(name, size, kind);
        if (key == NULL) {
            return NULL;
        }
        atom = PyDict_GetItemWithError(r->counted, key); /* borrowed */
        if (atom != NULL) {
            Py_INCREF(atom);
        }
        else if (PyErr_Occurred()) {
            goto error;
        }
    }
    if (atom == NULL) {
        atom = atom_new(r, name, size, kind);
        if (atom == NULL) {
            if (!PyErr_Occurred()) {
                read_fail(r, at, "an atom of at most 255 characters", kind == UTF8_NAME ? "an invalid name" : "a longer name");
            }
            goto error;
        }
        if (!count_atom(r, at)) {
            goto error;
        }
    }
    if (size == (Py_ssize_t)sizeof marker - 1 && memcmp(name, marker, sizeof marker - 1) == 0) {
        /* Not cached, so that it comes through here whenever it comes. */
        r->saw_marker = true;
        entry = NULL;
    }
    if (entry != NULL) {
        if (entry->value != NULL && entry->kind != KEY && entry->call == r->call && !keep_counted(r, entry)) {
            goto error;
        }
        uint64_t head, tail;
        name_ends(name, (size_t)size, &head, &tail);
        entry_set(entry, Py_NewRef(atom), name, (size_t)size, head, tail, kind);
        entry->call = r->call;
    }
    else {
        if ((r->counted == NULL && (r->counted = PyDict_New()) == NULL)
            || (key == NULL && (key = atom_key(name, size, kind)) == NULL)
            || PyDict_SetItem(r->counted, key, atom) < 0) {
            goto error;
        }
    }
    Py_XDECREF(key);
    return atom;

error:
    Py_XDECREF(key);
    Py_XDECREF(atom);
    return NULL;
}
