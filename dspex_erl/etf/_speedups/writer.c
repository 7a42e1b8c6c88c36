/* The errors of the encoder, with the place that each of them names, and the buffer that it writes to. */
#include "writer.h"

/* ---- errors ---- */

/* Ends the quiet: every error ends the call. */
static PyObject *path_text(Writer *w)
{
    quiet_end(w);
    Py_ssize_t steps = w->depth < PATH_STEPS ? w->depth : PATH_STEPS;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; i < steps && list != NULL; i++) {
        Frame *frame = &w->frames[i];
        bool value = frame->kind == OUT_MAP && frame->stage >= BEFORE_VALUE;
        PyObject *step = value ? PyTuple_Pack(1, frame->key) : PyLong_FromSsize_t(frame->index);
        if (step == NULL || PyList_Append(list, step) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(step);
    }
    if (list == NULL) {
        return NULL;
    }
    PyObject *text = PyObject_CallFunctionObjArgs(w->state->format_path, list, NULL);
    Py_DECREF(list);
    return text;
}

static void raise_new(PyObject *type, PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
}

/* Always FAILED. */
Outcome write_fail_limit(Writer *w, const char *limit, Py_ssize_t maximum, const char *got, bool with_path)
{
    quiet_end(w);
    PyObject *type = w->state->encode_limit_error;
    PyObject *path = with_path ? path_text(w) : PyUnicode_FromString("$");
    if (path != NULL) {
        raise_new(type, PyObject_CallFunction(type, "snsO", limit, maximum, got, path));
        Py_DECREF(path);
    }
    return FAILED;
}

/* The limit on all of the output. It is no fault of the value at which it is noticed, so there is no path. */
Outcome write_fail_bytes(Writer *w) { return write_fail_limit(w, "max_bytes", w->encoder->max_bytes, "more bytes", false); }

Outcome write_fail(Writer *w, const char *expected, const char *got)
{
    quiet_end(w);
    PyErr_Clear();
    if (too_long(w)) {
        return write_fail_bytes(w);
    }
    PyObject *type = w->state->encode_error, *path = path_text(w);
    if (path != NULL) {
        raise_new(type, PyObject_CallFunction(type, "ssO", expected, got, path));
        Py_DECREF(path);
    }
    return FAILED;
}

/* A helper has failed: says in its error where. */
Outcome write_fail_from_helper(Writer *w)
{
    quiet_end(w);
    if (!PyErr_ExceptionMatches(w->state->codec_error)) {
        return FAILED; /* MemoryError, KeyboardInterrupt */
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *path = path_text(w);
    PyObject *at = path == NULL ? NULL : state_helper(w->state, HELP_AT);
    PyObject *placed = at == NULL ? NULL : PyObject_CallFunctionObjArgs(at, error, path, NULL);
    if (placed != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(placed), placed);
        Py_DECREF(placed);
    }
    Py_XDECREF(at);
    Py_XDECREF(path);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return FAILED;
}

/* ---- output ---- */

/* Output grows in a bytes object, to be handed over without another copy, if there is a way to cut that to size. */
static bool can_resize(void) { return HAVE(_PyBytes_Resize); }

/* Gives a buffer that is no longer needed to the next call. */
void writer_keep_scratch(Encoder *encoder, uint8_t *buffer)
{
    if (encoder->scratch == NULL) {
        encoder->scratch = buffer;
    }
    else {
        PyMem_Free(buffer);
    }
}

/* Gives the buffer `room` bytes, of which the first `used` are kept. */
bool writer_move(Writer *w, Py_ssize_t used, Py_ssize_t room)
{
    if (w->result != NULL && can_resize()) {
        if (_PyBytes_Resize(&w->result, room) < 0) {
            w->buffer = w->to = w->end = NULL;
            return false;
        }
        w->buffer = (uint8_t *)PyBytes_AsString(w->result);
    }
    else {
        PyObject *result = PyBytes_FromStringAndSize(NULL, room);
        if (result == NULL) {
            return false;
        }
        uint8_t *buffer = (uint8_t *)PyBytes_AsString(result);
        memcpy(buffer, w->buffer, (size_t)used);
        if (w->result != NULL) {
            Py_DECREF(w->result);
        }
        else {
            writer_keep_scratch(w->encoder, w->buffer);
        }
        w->result = result;
        w->buffer = buffer;
    }
    w->to = w->buffer + used;
    w->end = w->buffer + room;
    return true;
}

bool writer_grow(Writer *w, Py_ssize_t more)
{
    Py_ssize_t used = w->to - w->buffer, room = w->end - w->buffer;
    if (w->passed_on + used > w->encoder->max_bytes || more - SLACK > w->encoder->max_bytes - w->passed_on - used) {
        write_fail_bytes(w);
        return false;
    }
    if (more > PY_SSIZE_T_MAX / 4 - used) {
        PyErr_NoMemory();
        return false;
    }
    room = room * 2 > used + more ? room * 2 : used + more;
    return writer_move(w, used, room);
}

/* The output as a bytes object. */
PyObject *writer_result(Writer *w)
{
    Py_ssize_t size = w->to - w->buffer;
    w->encoder->guess = size < GUESS_AT_MOST ? size : GUESS_AT_MOST;
    if (w->result == NULL || !can_resize()) {
        return PyBytes_FromStringAndSize((const char *)w->buffer, size);
    }
    PyObject *result = w->result;
    w->result = NULL;
    w->buffer = NULL;
    return _PyBytes_Resize(&result, size) < 0 ? NULL : result;
}

/* Moves what is in the buffer to the parts. */
bool writer_flush(Writer *w)
{
    Py_ssize_t used = w->to - w->buffer;
    if (used == 0) {
        return true;
    }
    PyObject *part = PyBytes_FromStringAndSize((const char *)w->buffer, used);
    if (part == NULL || PyList_Append(w->parts, part) < 0) {
        Py_XDECREF(part);
        return false;
    }
    Py_DECREF(part);
    w->passed_on += used;
    w->to = w->buffer;
    return true;
}
