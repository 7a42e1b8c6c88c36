/* take_calls(): the calls at the beginning of what was read. The twin of that in wire/_calls.py, under the same tests.
 *
 * A worker spends its life here: nearly every frame that comes is a plain call. Whatever is not, be it broken, too long or merely
 * rare, ends the run and is left to Connection, which knows all the rules. So nothing here has to say what is wrong.
 */
#include "common.h"

enum { CALL_ARITY = 5 };

static bool is_atom(const State *state, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type == state->byte_atom || type == state->atom || type == state->wide_atom;
}

/* The atom C, in either mapping. */
static bool is_call_tag(const State *state, PyObject *tag)
{
    if (Py_TYPE(tag) == state->byte_atom) {
        return PyBytes_Size(tag) == 1 && PyBytes_AsString(tag)[0] == 'C';
    }
    return Py_TYPE(tag) == state->atom && PyUnicode_CompareWithASCIIString(tag, "C") == 0;
}

/* 1 with a new `call` for a term that is a call like most; 0 for any other term; -1 with an exception. */
static int call_of_term(const State *state, PyObject *term, PyObject *in_flight, PyObject *make, PyObject **call)
{
    if (!PyTuple_CheckExact(term) || PyTuple_Size(term) != CALL_ARITY) {
        return 0;
    }
    PyObject *part[CALL_ARITY];
    for (int i = 0; i < CALL_ARITY; i++) {
        part[i] = PyTuple_GetItem(term, i); /* borrowed from `term`, which nobody else has */
    }
    PyTypeObject *arguments = Py_TYPE(part[4]);
    if (!is_call_tag(state, part[0]) || !PyLong_CheckExact(part[1]) || !is_atom(state, part[2]) || !is_atom(state, part[3])
        || (arguments != state->list && arguments != &PyList_Type)) {
        return 0;
    }
    int known = PySet_Contains(in_flight, part[1]);
    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    *call = PyObject_CallFunctionObjArgs(make, part[1], part[2], part[3], part[4], NULL);
    if (*call == NULL) {
        return -1;
    }
    if (PySet_Add(in_flight, part[1]) < 0) {
        Py_CLEAR(*call);
        return -1;
    }
    return 1;
}

/* The payload's length, from a header of `packet` bytes. */
static uint32_t payload_size(const uint8_t *at, Py_ssize_t packet)
{
    return packet == 4 ? load32(at) : packet == 2 ? load16(at) : at[0];
}

/* Fills `found`; returns the offset of the first frame that was not taken. An error is no more than a reason to stop: whoever
 * looks at that frame next will meet it again. */
static Py_ssize_t take(const State *state, PyObject *const *args, Py_ssize_t packet, size_t max_frame, PyObject *found)
{
    PyObject *decode = args[0], *in_flight = args[4], *make = args[5];
    const uint8_t *data = (const uint8_t *)PyBytes_AsString(args[1]);
    Py_ssize_t size = PyBytes_Size(args[1]), start = 0;
    while (size - start >= packet) {
        uint32_t length = payload_size(data + start, packet);
        if (length > max_frame || length > (size_t)(size - start - packet)) {
            break;
        }
        const char *payload = (const char *)data + start + packet;
        PyObject *frame = PyBytes_FromStringAndSize(payload, (Py_ssize_t)length);
        PyObject *term = frame == NULL ? NULL : PyObject_CallFunctionObjArgs(decode, frame, NULL);
        Py_XDECREF(frame);
        PyObject *call = NULL;
        int usual = term == NULL ? -1 : call_of_term(state, term, in_flight, make, &call);
        Py_XDECREF(term);
        if (usual != 1) {
            PyErr_Clear();
            break;
        }
        int appended = PyList_Append(found, call);
        Py_DECREF(call);
        if (appended < 0) {
            return -1;
        }
        start += packet + (Py_ssize_t)length;
    }
    return start;
}

PyObject *take_calls(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !PyBytes_CheckExact(args[1]) || !PySet_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError, "expected take_calls(decode, bytes, packet, max_frame, set, Call)");
        return NULL;
    }
    Py_ssize_t packet = PyLong_AsSsize_t(args[2]);
    size_t max_frame = PyLong_AsSize_t(args[3]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (packet != 1 && packet != 2 && packet != 4) {
        PyErr_SetString(PyExc_ValueError, "expected packet to be 1, 2 or 4");
        return NULL;
    }
    PyObject *found = PyList_New(0);
    Py_ssize_t taken = found == NULL ? -1 : take(PyModule_GetState(module), args, packet, max_frame, found);
    PyObject *result = taken < 0 ? NULL : Py_BuildValue("(On)", found, taken);
    Py_XDECREF(found);
    return result;
}
