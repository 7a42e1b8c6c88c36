/* The errors of the decoder, and the place that each of them names. */
#include "reader.h"

/* The path of the term that begins at `top` on the stack of values, inside the first `depth` frames. Ends the quiet, as every
 * error ends the call. */
static PyObject *path_text(Reader *r, Py_ssize_t depth, Py_ssize_t top)
{
    quiet_end(r);
    Py_ssize_t steps = depth < PATH_STEPS ? depth : PATH_STEPS;
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; i < steps && list != NULL; i++) {
        Frame *frame = &r->frames[i];
        Py_ssize_t done = (i + 1 < depth ? r->frames[i + 1].base : top) - frame->base;
        PyObject *step;
        if (frame->kind != IN_MAP) {
            step = PyLong_FromSsize_t(done);
        }
        else if (done % 2) {
            step = PyTuple_Pack(1, r->values[frame->base + done - 1]);
        }
        else {
            step = PyLong_FromSsize_t(done / 2); /* a key has no name yet */
        }
        if (step == NULL || PyList_Append(list, step) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(step);
    }
    if (list == NULL) {
        return NULL;
    }
    PyObject *text = PyObject_CallFunctionObjArgs(r->state->format_path, list, NULL);
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

/* A DecodeError at `at`, the tag of a term inside the frames of `depth`. Always NULL. */
PyObject *read_fail(Reader *r, const uint8_t *at, const char *expected, const char *got)
{
    Py_ssize_t offset = r->within >= 0 ? r->within : at - r->start;
    PyObject *path = path_text(r, r->depth, r->top);
    if (path != NULL) {
        PyObject *type = r->state->decode_error;
        raise_new(type, PyObject_CallFunction(type, "ssnO", expected, got, offset, path));
        Py_DECREF(path);
    }
    return NULL;
}

/* The input ends within a term: more of it may come, unless the end is that of a compressed term. */
PyObject *read_fail_truncated(Reader *r)
{
    if (r->within >= 0) {
        return read_fail(r, r->end, "a whole term inside the compressed one", "its end");
    }
    PyObject *path = path_text(r, r->depth, r->top);
    if (path != NULL) {
        PyObject *type = r->state->truncated_error;
        Py_ssize_t size = r->end - r->start;
        raise_new(type, PyObject_CallFunction(type, "ssnO", "a whole term", "the end of the bytes", size, path));
        Py_DECREF(path);
    }
    return NULL;
}

PyObject *read_fail_limit(Reader *r, const uint8_t *at, const char *limit, Py_ssize_t maximum, const char *got)
{
    Py_ssize_t offset = r->within >= 0 ? r->within : at - r->start;
    PyObject *path = path_text(r, r->depth, r->top);
    if (path != NULL) {
        PyObject *type = r->state->decode_limit_error;
        raise_new(type, PyObject_CallFunction(type, "snsnO", limit, maximum, got, offset, path));
        Py_DECREF(path);
    }
    return NULL;
}

/* A helper has failed on the term that begins at `top`: says in its error where that was. Always NULL. */
PyObject *read_fail_from_helper(Reader *r, Py_ssize_t top)
{
    quiet_end(r);
    if (!PyErr_ExceptionMatches(r->state->codec_error)) {
        return NULL; /* MemoryError, KeyboardInterrupt */
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *path = path_text(r, r->depth, top);
    PyObject *at = path == NULL ? NULL : state_helper(r->state, HELP_AT);
    if (at != NULL) {
        PyObject *placed = r->within < 0 ? PyObject_CallFunctionObjArgs(at, error, path, NULL)
                                         : PyObject_CallFunction(at, "OOn", error, path, r->within);
        if (placed != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(placed), placed);
            Py_DECREF(placed);
        }
    }
    Py_XDECREF(at);
    Py_XDECREF(path);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return NULL;
}

/* Hashing or comparing a map's keys has raised something. Always NULL. */
PyObject *read_fail_key(Reader *r, Py_ssize_t offset, Py_ssize_t top)
{
    quiet_end(r);
    if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)
        || PyErr_ExceptionMatches(r->state->codec_error)) {
        return read_fail_from_helper(r, top);
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *helper = state_helper(r->state, HELP_KEY_FAULT);
    PyObject *fault = helper == NULL ? NULL : PyObject_CallFunction(helper, "On", error, offset);
    if (fault != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(fault), fault);
        Py_DECREF(fault);
        read_fail_from_helper(r, top);
    }
    Py_XDECREF(helper);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return NULL;
}
