/* UTF-8 to str.
 *
 * CPython's own decoder starts narrow and copies everything again each time a wider character turns up; text in several scripts
 * takes it several passes. Here one pass checks and widens, and the constructor of the str narrows once. What is not UTF-8
 * is found out without the cost of an exception: binaries that are no text are common.
 */
#include "common.h"
#include <wchar.h>

enum {
    ON_STACK = 1024,          /* characters widened without an allocation */
    WIDEN_AT_MOST = 1 << 20,  /* bytes; a larger text is not worth four times its size in scratch memory */
};

/* The character at `at`, whose first byte is not ASCII, and its length in bytes; 0 for what RFC 3629 forbids (overlong forms,
 * surrogates, more than U+10FFFF) and for one that `end` cuts. */
static inline int utf8_wide(const uint8_t *at, const uint8_t *end, uint32_t *character)
{
    uint32_t lead = at[0];
    ptrdiff_t left = end - at;
    if (lead < 0xE0) {
        if (lead < 0xC2 || left < 2 || (at[1] & 0xC0) != 0x80) {
            return 0;
        }
        *character = (lead & 0x1F) << 6 | (at[1] & 0x3F);
        return 2;
    }
    if (lead < 0xF0) {
        if (left < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) {
            return 0;
        }
        uint32_t value = (lead & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
        *character = value;
        return value < 0x800 || (value >= 0xD800 && value < 0xE000) ? 0 : 3;
    }
    if (lead > 0xF4 || left < 4 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 || (at[3] & 0xC0) != 0x80) {
        return 0;
    }
    uint32_t value = (lead & 0x07) << 18 | (uint32_t)(at[1] & 0x3F) << 12 | (uint32_t)(at[2] & 0x3F) << 6 | (at[3] & 0x3F);
    *character = value;
    return value < 0x10000 || value > 0x10FFFF ? 0 : 4;
}

/* How many of the eight bytes at `at` are ASCII, up to the first that is not. */
static inline int ascii_of_8(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    word &= UINT64_C(0x8080808080808080);
    if (word == 0) {
        return 8;
    }
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_ctzll(word) / 8;
#else
    int count = 0;
    while (at[count] < 0x80) {
        count++;
    }
    return count;
#endif
}

/* The first byte from `at` on that is not ASCII, or `end`. */
static inline const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        int count = ascii_of_8(at);
        at += count;
        if (count < 8) {
            return at;
        }
    }
    while (at < end && *at < 0x80) {
        at++;
    }
    return at;
}

/* Whether the text is UTF-8, and of how many characters. */
bool utf8_count(const uint8_t *text, Py_ssize_t size, Py_ssize_t *characters)
{
    const uint8_t *at = text, *end = text + size;
    Py_ssize_t count = 0;
    for (;;) {
        const uint8_t *wide = skip_ascii(at, end);
        count += wide - at;
        at = wide;
        if (at == end) {
            *characters = count;
            return true;
        }
        uint32_t character;
        int length = utf8_wide(at, end, &character);
        if (length == 0) {
            return false;
        }
        at += length;
        count++;
    }
}

/* Fills `out`, which has room for eight characters more than there are bytes; gives their number, or -1 for what is not UTF-8. */
static Py_ssize_t widen(const uint8_t *restrict text, Py_ssize_t size, uint32_t *restrict out)
{
    const uint8_t *at = text, *end = text + size;
    uint32_t *to = out;
    while (at < end) {
        int count = 8;
        while (count == 8 && end - at >= 8) {
            count = ascii_of_8(at);
            uint8_t eight[8];
            memcpy(eight, at, sizeof eight);
            for (int i = 0; i < 8; i++) {
                to[i] = eight[i]; /* those that are not ASCII are written over */
            }
            to += count;
            at += count;
        }
        while (end - at < 8 && at < end && *at < 0x80) {
            *to++ = *at++;
        }
        while (at < end && *at >= 0x80) {
            uint32_t character;
            int length = utf8_wide(at, end, &character);
            if (length == 0) {
                return -1;
            }
            *to++ = character;
            at += length;
        }
    }
    return to - out;
}

static PyObject *decode_widened(const uint8_t *text, Py_ssize_t size, bool *invalid)
{
    uint32_t small[ON_STACK + 8], *room = small;
    if (size > ON_STACK) {
        room = PyMem_Malloc(((size_t)size + 8) * sizeof *room);
        if (room == NULL) {
            return PyErr_NoMemory();
        }
    }
    PyObject *decoded = NULL;
    Py_ssize_t characters = widen(text, size, room);
    if (characters < 0) {
        *invalid = true;
    }
    else if (HAVE(PyUnicode_FromKindAndData)) {
        decoded = PyUnicode_FromKindAndData((int)sizeof *room, room, characters);
    }
    else {
        decoded = PyUnicode_FromWideChar((const wchar_t *)room, characters);
    }
    if (room != small) {
        PyMem_Free(room);
    }
    return decoded;
}

/* A new str; or NULL with an exception; or NULL without one and `*invalid`, when the text is not UTF-8. */
PyObject *utf8_decode(const uint8_t *text, Py_ssize_t size, bool *invalid)
{
    const uint8_t *end = text + size;
    *invalid = false;
    if (skip_ascii(text, end) == end) {
        return PyUnicode_FromStringAndSize((const char *)text, size);
    }
    if (size <= WIDEN_AT_MOST && (HAVE(PyUnicode_FromKindAndData) || sizeof(wchar_t) == sizeof(uint32_t))) {
        return decode_widened(text, size, invalid);
    }
    Py_ssize_t characters;
    if (!utf8_count(text, size, &characters)) {
        *invalid = true;
        return NULL;
    }
    return PyUnicode_DecodeUTF8((const char *)text, size, "strict");
}
