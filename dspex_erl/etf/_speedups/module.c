/* The C coder: Decoder and Encoder, the twins of those in _pure.py, under the same tests.
 *
 * Rules that every part keeps:
 *   - no C recursion over a term: both ways have their stack on the heap, so depth costs memory only;
 *   - no borrowed reference is used after anything that may run Python code (a hook, a hash, a comparison, the end of an object
 *     that is not a builtin);
 *   - what is rare is left to _rare.py and _lower.py, which both coders share;
 *   - no Py_RETURN_NONE and its like: from 3.12 on they assume immortal objects, which 3.10 does not have. Py_NewRef is right on
 *     both;
 *   - no '#' in a format: what it expects is not the same in the headers of 3.13 and in the interpreters before.
 * / */
#include "common.h"

#define MODULE "dspex_erl.etf._speedups"

static const char *const helper_names[HELPERS] = {
    [HELP_AT] = "at",
    [HELP_LEAF] = "leaf",
    [HELP_INFLATE] = "inflate",
    [HELP_OPAQUE] = "opaque",
    [HELP_STRUCT] = "struct",
    [HELP_CLASHING] = "clashing",
    [HELP_CHECK_HASHES] = "check_hashes",
    [HELP_KEY_FAULT] = "key_fault",
    [HELP_RAW] = "raw",
    [HELP_LOWER] = "lower",
};

static const char *const attribute_names[NAMES] = {
    [NAME_TAIL] = "tail",
    [NAME_VALUE] = "value",
    [NAME_BIT_LENGTH] = "bit_length",
    [NAME_TO_BYTES] = "to_bytes",
    [NAME_TOREADONLY] = "toreadonly",
    [NAME_CAST] = "cast",
};

static PyObject *attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value = interned == NULL ? NULL : PyObject_GetAttr(object, interned);
    Py_XDECREF(interned);
    return value;
}

/* New reference. Runs Python code. */
PyObject *state_helper(State *state, Helper which)
{
    if (state->helper[which] == NULL) {
        PyObject *module = PyImport_ImportModule(which == HELP_LOWER ? "dspex_erl.etf._lower" : "dspex_erl.etf._rare");
        PyObject *found = module == NULL ? NULL : attribute(module, helper_names[which]);
        Py_XDECREF(module);
        /* An import may run other threads, which may have been here meanwhile. */
        if (found == NULL || state->helper[which] != NULL) {
            Py_XDECREF(found);
        }
        else {
            state->helper[which] = found;
        }
        if (found == NULL) {
            return NULL;
        }
    }
    return Py_NewRef(state->helper[which]);
}

bool option_size(PyObject *options, const char *name, Py_ssize_t *value)
{
    PyObject *number = attribute(options, name);
    if (number == NULL) {
        return false;
    }
    *value = PyLong_AsSsize_t(number);
    Py_DECREF(number);
    return *value != -1 || !PyErr_Occurred();
}

bool option_strings(PyObject *options, bool *as_bytes)
{
    PyObject *strings = attribute(options, "strings");
    if (strings == NULL) {
        return false;
    }
    *as_bytes = PyUnicode_Check(strings) && PyUnicode_CompareWithASCIIString(strings, "bytes") == 0;
    Py_DECREF(strings);
    return true;
}

/* Whether the option is more than an empty mapping. */
bool option_set(PyObject *options, const char *name, bool *set)
{
    PyObject *value = attribute(options, name);
    int truth = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    *set = truth == 1;
    return truth >= 0;
}

/* ---- import ---- */

static int take(PyObject *module, const char *name, PyObject **slot)
{
    *slot = attribute(module, name);
    return *slot == NULL ? -1 : 0;
}

static int take_type(PyObject *module, const char *name, PyTypeObject **slot, PyTypeObject *base)
{
    PyObject *type;
    if (take(module, name, &type) < 0) {
        return -1;
    }
    *slot = (PyTypeObject *)type;
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, base)) {
        PyErr_Format(PyExc_TypeError, "expected %s to be a class of %s", name, MODULE);
        return -1;
    }
    return 0;
}

static int take_atoms(State *state)
{
    PyObject *module = PyImport_ImportModule("dspex_erl.terms._atom");
    int result = module == NULL || take_type(module, "Atom", &state->atom, &PyUnicode_Type) < 0
                         || take_type(module, "ByteAtom", &state->byte_atom, &PyBytes_Type) < 0
                         || take_type(module, "_WideAtom", &state->wide_atom, &PyBytes_Type) < 0
                     ? -1
                     : 0;
    Py_XDECREF(module);
    return result;
}

static int take_containers(State *state)
{
    PyObject *module = PyImport_ImportModule("dspex_erl.terms._containers");
    int result = module == NULL || take_type(module, "List", &state->list, &PyList_Type) < 0
                         || take_type(module, "Map", &state->map, &PyDict_Type) < 0
                         || take_type(module, "ImproperList", &state->improper_list, &PyList_Type) < 0
                         || take_type(module, "ExactKey", &state->exact_key, &PyBaseObject_Type) < 0
                     ? -1
                     : 0;
    Py_XDECREF(module);
    return result;
}

static int take_errors(State *state)
{
    PyObject *module = PyImport_ImportModule("dspex_erl.errors");
    int result = module == NULL || take(module, "CodecError", &state->codec_error) < 0
                         || take(module, "DecodeError", &state->decode_error) < 0
                         || take(module, "TruncatedError", &state->truncated_error) < 0
                         || take(module, "DecodeLimitError", &state->decode_limit_error) < 0
                         || take(module, "EncodeError", &state->encode_error) < 0
                         || take(module, "EncodeLimitError", &state->encode_limit_error) < 0
                         || take(module, "format_path", &state->format_path) < 0
                     ? -1
                     : 0;
    Py_XDECREF(module);
    return result;
}

static int make_constants(State *state)
{
    for (int i = 0; i < 256; i++) {
        if ((state->small_int[i] = PyLong_FromLong(i)) == NULL) {
            return -1;
        }
    }
    for (int i = 0; i < NAMES; i++) {
        if ((state->name[i] = PyUnicode_InternFromString(attribute_names[i])) == NULL) {
            return -1;
        }
    }
    /* The builtins' own constructors: List.__new__ and the others are Python code that would copy what is given to it. */
    state->list_new = (newfunc)PyType_GetSlot(&PyList_Type, Py_tp_new);
    state->dict_new = (newfunc)PyType_GetSlot(&PyDict_Type, Py_tp_new);
    state->str_new = (newfunc)PyType_GetSlot(&PyUnicode_Type, Py_tp_new);
    if ((state->no_arguments = PyTuple_New(0)) == NULL
        || (state->empty_list = state->list_new(state->list, state->no_arguments, NULL)) == NULL
        || (state->empty_map = state->dict_new(state->map, state->no_arguments, NULL)) == NULL) {
        return -1;
    }
    return take((PyObject *)&PyLong_Type, "from_bytes", &state->int_from_bytes);
}

static int add_type(PyObject *module, PyType_Spec *spec, PyObject **slot)
{
    *slot = PyType_FromModuleAndSpec(module, spec, NULL);
    return *slot == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)*slot);
}

static int module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (take_errors(state) < 0 || take_atoms(state) < 0 || take_containers(state) < 0 || make_constants(state) < 0
        || fast_probe(state) < 0) {
        return -1;
    }
    if (add_type(module, &decoder_spec, &state->decoder_type) < 0 || add_type(module, &encoder_spec, &state->encoder_type) < 0) {
        return -1;
    }
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->atom);
    Py_VISIT(state->byte_atom);
    Py_VISIT(state->wide_atom);
    Py_VISIT(state->list);
    Py_VISIT(state->map);
    Py_VISIT(state->improper_list);
    Py_VISIT(state->exact_key);
    Py_VISIT(state->codec_error);
    Py_VISIT(state->decode_error);
    Py_VISIT(state->truncated_error);
    Py_VISIT(state->decode_limit_error);
    Py_VISIT(state->encode_error);
    Py_VISIT(state->encode_limit_error);
    Py_VISIT(state->format_path);
    for (int i = 0; i < HELPERS; i++) {
        Py_VISIT(state->helper[i]);
    }
    Py_VISIT(state->int_from_bytes);
    Py_VISIT(state->empty_list);
    Py_VISIT(state->empty_map);
    Py_VISIT(state->decoder_type);
    Py_VISIT(state->encoder_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->empty_list);
    Py_CLEAR(state->empty_map);
    Py_CLEAR(state->atom);
    Py_CLEAR(state->byte_atom);
    Py_CLEAR(state->wide_atom);
    Py_CLEAR(state->list);
    Py_CLEAR(state->map);
    Py_CLEAR(state->improper_list);
    Py_CLEAR(state->exact_key);
    Py_CLEAR(state->codec_error);
    Py_CLEAR(state->decode_error);
    Py_CLEAR(state->truncated_error);
    Py_CLEAR(state->decode_limit_error);
    Py_CLEAR(state->encode_error);
    Py_CLEAR(state->encode_limit_error);
    Py_CLEAR(state->format_path);
    for (int i = 0; i < HELPERS; i++) {
        Py_CLEAR(state->helper[i]);
    }
    for (int i = 0; i < NAMES; i++) {
        Py_CLEAR(state->name[i]);
    }
    Py_CLEAR(state->int_from_bytes);
    Py_CLEAR(state->no_arguments);
    Py_CLEAR(state->decoder_type);
    Py_CLEAR(state->encoder_type);
    for (int i = 0; i < 256; i++) {
        Py_CLEAR(state->small_int[i]);
    }
    return 0;
}

static void module_free(void *module) { module_clear((PyObject *)module); }

static PyMethodDef module_methods[] = {
    {"take_calls", (PyCFunction)(void (*)(void))take_calls, METH_FASTCALL,
     PyDoc_STR("take_calls($module, decode, data, packet, max_frame, in_flight, call, /)\n--\n\nCalls off the start of `data`.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {0, NULL},
};

struct PyModuleDef speedups_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = MODULE,
    .m_doc = "Decoder and Encoder of dspex_erl.etf and take_calls of dspex_erl.wire, in C.",
    .m_size = sizeof(State),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__speedups(void) { return PyModuleDef_Init(&speedups_module); }
