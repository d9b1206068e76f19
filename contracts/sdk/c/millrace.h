/* Millrace contracts in C: the host calls of docs/spec/host-calls.md, an entry point, and nothing else.
 *
 * One file includes this header and says MILLRACE_CONTRACT(init, call), which makes the entry point: `init` runs when the
 * contract is deployed, `call` for each call. Both end the frame by millrace_return or millrace_revert; coming back ends
 * it with success and no output. The machine is RV64IMAC with Zba, Zbb, Zbc, Zbs and Zicond, without floats; memory is little
 * endian. contracts/build.sh shows the compiler's options. */
#ifndef MILLRACE_H
#define MILLRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Units of the native token, and other amounts: 16 bytes, little endian, as the host reads and writes them. */
__extension__ typedef unsigned __int128 millrace_amount;

typedef struct {
    uint8_t bytes[32];
} millrace_address;

typedef struct {
    uint8_t bytes[32];
} millrace_hash;

/* Numbers of the host calls, as a7 carries them. */
#define MILLRACE_NUMBER_INPUT_LEN 0x100
#define MILLRACE_NUMBER_INPUT_READ 0x101
#define MILLRACE_NUMBER_RETURN 0x102
#define MILLRACE_NUMBER_REVERT 0x103
#define MILLRACE_NUMBER_CALL_KIND 0x104
#define MILLRACE_NUMBER_STORAGE_GET 0x110
#define MILLRACE_NUMBER_STORAGE_SET 0x111
#define MILLRACE_NUMBER_STORAGE_REMOVE 0x112
#define MILLRACE_NUMBER_TRANSIENT_GET 0x113
#define MILLRACE_NUMBER_TRANSIENT_SET 0x114
#define MILLRACE_NUMBER_TRANSIENT_REMOVE 0x115
#define MILLRACE_NUMBER_COUNTER_ADD 0x116
#define MILLRACE_NUMBER_LOG 0x120
#define MILLRACE_NUMBER_CALLER 0x130
#define MILLRACE_NUMBER_SELF_ADDRESS 0x131
#define MILLRACE_NUMBER_ORIGIN 0x132
#define MILLRACE_NUMBER_VALUE 0x133
#define MILLRACE_NUMBER_BLOCK_CONTEXT 0x134
#define MILLRACE_NUMBER_GAS_LEFT 0x135
#define MILLRACE_NUMBER_BALANCE 0x140
#define MILLRACE_NUMBER_TRANSFER 0x141
#define MILLRACE_NUMBER_CALL 0x142
#define MILLRACE_NUMBER_CREATE 0x143
#define MILLRACE_NUMBER_RETURN_DATA 0x144
#define MILLRACE_NUMBER_HEAP_GROW 0x150
#define MILLRACE_NUMBER_BLAKE3 0x160
#define MILLRACE_NUMBER_SHA256 0x161
#define MILLRACE_NUMBER_KECCAK256 0x162
#define MILLRACE_NUMBER_ED25519_VERIFY 0x163

/* Statuses of millrace_transfer, millrace_call and millrace_create. */
#define MILLRACE_STATUS_SUCCESS 0
#define MILLRACE_STATUS_REVERTED 1
#define MILLRACE_STATUS_TRAPPED 2
#define MILLRACE_STATUS_INSUFFICIENT_BALANCE 3
#define MILLRACE_STATUS_CALL_DEPTH 4
#define MILLRACE_STATUS_NO_CODE 5
#define MILLRACE_STATUS_INVALID_PROGRAM 6
#define MILLRACE_STATUS_ADDRESS_COLLISION 7

/* What millrace_storage_get and millrace_transient_get answer when nothing is stored, and millrace_heap_grow when the
 * machine's maximum is passed. */
#define MILLRACE_ABSENT UINT64_MAX

#define MILLRACE_MAX_TOPICS 4

/* The block that the frame runs in. */
typedef struct {
    uint64_t height;
    uint64_t timestamp_ms;
    uint64_t chain_id;
    uint64_t gas_limit;
    millrace_address proposer;
} millrace_block_context;

/* Requests of calls, byte for byte; `reserved` is zero. */
typedef struct {
    millrace_address to;
    uint64_t value[2];
    uint64_t gas;
    uint64_t input;
    uint64_t input_length;
    uint64_t reserved;
} millrace_call_request;

typedef struct {
    uint64_t value[2];
    uint64_t gas;
    uint64_t code;
    uint64_t code_length;
    uint64_t input;
    uint64_t input_length;
    uint64_t reserved;
} millrace_create_request;

_Static_assert(sizeof(millrace_amount) == 16, "amounts are 16 bytes");
_Static_assert(sizeof(millrace_block_context) == 64, "docs/spec/host-calls.md, block_context");
_Static_assert(sizeof(millrace_call_request) == 80, "docs/spec/host-calls.md, call");
_Static_assert(sizeof(millrace_create_request) == 64, "docs/spec/host-calls.md, create");

/* What a call answers in a0 and a1. */
typedef struct {
    uint64_t a0;
    uint64_t a1;
} millrace_answer;

/* One ecall. Calls with fewer arguments leave the other registers' contents to chance. */
static inline millrace_answer millrace_ecall(uint64_t number, uint64_t argument0, uint64_t argument1, uint64_t argument2,
                                             uint64_t argument3) {
    register uint64_t a0 __asm__("a0") = argument0;
    register uint64_t a1 __asm__("a1") = argument1;
    register uint64_t a2 __asm__("a2") = argument2;
    register uint64_t a3 __asm__("a3") = argument3;
    register uint64_t a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a7) : "memory");
    return (millrace_answer){a0, a1};
}

static inline uint64_t millrace_pointer(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

/* Bytes of the input. */
static inline uint64_t millrace_input_len(void) { return millrace_ecall(MILLRACE_NUMBER_INPUT_LEN, 0, 0, 0, 0).a0; }

/* Copies the input from `offset` on and returns how many bytes that were. */
static inline uint64_t millrace_input_read(void *destination, uint64_t offset, uint64_t length) {
    return millrace_ecall(MILLRACE_NUMBER_INPUT_READ, millrace_pointer(destination), offset, length, 0).a0;
}

/* Ends the frame: success, with this output. */
__attribute__((noreturn)) static inline void millrace_return(const void *output, uint64_t length) {
    millrace_ecall(MILLRACE_NUMBER_RETURN, millrace_pointer(output), length, 0, 0);
    __builtin_unreachable();
}

/* Ends the frame: effects undone, unused gas back, with this output. */
__attribute__((noreturn)) static inline void millrace_revert(const void *output, uint64_t length) {
    millrace_ecall(MILLRACE_NUMBER_REVERT, millrace_pointer(output), length, 0, 0);
    __builtin_unreachable();
}

/* Ends the frame with a literal as the message. */
#define MILLRACE_REVERT(literal) millrace_revert("" literal, sizeof(literal) - 1)

/* Whether the frame initialises a new contract. */
static inline bool millrace_is_initialising(void) {
    return millrace_ecall(MILLRACE_NUMBER_CALL_KIND, 0, 0, 0, 0).a0 == 1;
}

/* Copies at most `capacity` bytes of what is stored under the key, and returns its whole length or MILLRACE_ABSENT. */
static inline uint64_t millrace_storage_get(const void *key, uint64_t key_length, void *destination, uint64_t capacity) {
    return millrace_ecall(MILLRACE_NUMBER_STORAGE_GET, millrace_pointer(key), key_length, millrace_pointer(destination),
                          capacity)
        .a0;
}

static inline void millrace_storage_set(const void *key, uint64_t key_length, const void *value, uint64_t value_length) {
    millrace_ecall(MILLRACE_NUMBER_STORAGE_SET, millrace_pointer(key), key_length, millrace_pointer(value),
                   value_length);
}

static inline void millrace_storage_remove(const void *key, uint64_t key_length) {
    millrace_ecall(MILLRACE_NUMBER_STORAGE_REMOVE, millrace_pointer(key), key_length, 0, 0);
}

/* The same for slots that live for one transaction. */
static inline uint64_t millrace_transient_get(const void *key, uint64_t key_length, void *destination,
                                              uint64_t capacity) {
    return millrace_ecall(MILLRACE_NUMBER_TRANSIENT_GET, millrace_pointer(key), key_length,
                          millrace_pointer(destination), capacity)
        .a0;
}

static inline void millrace_transient_set(const void *key, uint64_t key_length, const void *value,
                                          uint64_t value_length) {
    millrace_ecall(MILLRACE_NUMBER_TRANSIENT_SET, millrace_pointer(key), key_length, millrace_pointer(value),
                   value_length);
}

static inline void millrace_transient_remove(const void *key, uint64_t key_length) {
    millrace_ecall(MILLRACE_NUMBER_TRANSIENT_REMOVE, millrace_pointer(key), key_length, 0, 0);
}

/* Adds to the number that is stored as 16 bytes under the key, without reading it. Gas version 2. */
static inline void millrace_counter_add(const void *key, uint64_t key_length, millrace_amount amount) {
    millrace_ecall(MILLRACE_NUMBER_COUNTER_ADD, millrace_pointer(key), key_length, millrace_pointer(&amount), 0);
}

/* Emits a log with at most MILLRACE_MAX_TOPICS topics. */
static inline void millrace_log(const millrace_hash *topics, uint64_t topic_count, const void *data, uint64_t length) {
    millrace_ecall(MILLRACE_NUMBER_LOG, millrace_pointer(topics), topic_count, millrace_pointer(data), length);
}

/* The calling account: the transaction's sender, or the calling contract. */
static inline millrace_address millrace_caller(void) {
    millrace_address address = {{0}};
    millrace_ecall(MILLRACE_NUMBER_CALLER, millrace_pointer(&address), 0, 0, 0);
    return address;
}

static inline millrace_address millrace_self_address(void) {
    millrace_address address = {{0}};
    millrace_ecall(MILLRACE_NUMBER_SELF_ADDRESS, millrace_pointer(&address), 0, 0, 0);
    return address;
}

/* The transaction's sender. */
static inline millrace_address millrace_origin(void) {
    millrace_address address = {{0}};
    millrace_ecall(MILLRACE_NUMBER_ORIGIN, millrace_pointer(&address), 0, 0, 0);
    return address;
}

/* Units that came with this call. */
static inline millrace_amount millrace_value(void) {
    millrace_amount amount = 0;
    millrace_ecall(MILLRACE_NUMBER_VALUE, millrace_pointer(&amount), 0, 0, 0);
    return amount;
}

static inline millrace_block_context millrace_block(void) {
    millrace_block_context block = {0, 0, 0, 0, {{0}}};
    millrace_ecall(MILLRACE_NUMBER_BLOCK_CONTEXT, millrace_pointer(&block), 0, 0, 0);
    return block;
}

/* Gas left after this call's price. */
static inline uint64_t millrace_gas_left(void) { return millrace_ecall(MILLRACE_NUMBER_GAS_LEFT, 0, 0, 0, 0).a0; }

/* Units that an account holds. */
static inline millrace_amount millrace_balance(const millrace_address *address) {
    millrace_amount amount = 0;
    millrace_ecall(MILLRACE_NUMBER_BALANCE, millrace_pointer(address), millrace_pointer(&amount), 0, 0);
    return amount;
}

/* Moves units of this contract; runs no code. Returns status 0 or 3. */
static inline uint64_t millrace_transfer(const millrace_address *to, millrace_amount value) {
    return millrace_ecall(MILLRACE_NUMBER_TRANSFER, millrace_pointer(to), millrace_pointer(&value), 0, 0).a0;
}

/* Calls a contract with at most `gas` (capped at what is left less 1/64 of it). a0 is the status, a1 bytes of return data. */
static inline millrace_answer millrace_call(const millrace_address *to, millrace_amount value, uint64_t gas,
                                            const void *input, uint64_t input_length) {
    millrace_call_request request = {
        *to, {(uint64_t)value, (uint64_t)(value >> 64)}, gas, millrace_pointer(input), input_length, 0};
    return millrace_ecall(MILLRACE_NUMBER_CALL, millrace_pointer(&request), 0, 0, 0);
}

/* Creates a contract from an ELF file and runs its initialiser. The address is written with status 0 only. */
static inline millrace_answer millrace_create(const void *code, uint64_t code_length, millrace_amount value, uint64_t gas,
                                              const void *input, uint64_t input_length, millrace_address *created) {
    millrace_create_request request = {{(uint64_t)value, (uint64_t)(value >> 64)},
                                       gas,
                                       millrace_pointer(code),
                                       code_length,
                                       millrace_pointer(input),
                                       input_length,
                                       0};
    return millrace_ecall(MILLRACE_NUMBER_CREATE, millrace_pointer(&request), millrace_pointer(created), 0, 0);
}

/* Copies the output of the newest call or create from `offset` on and returns how many bytes that were. */
static inline uint64_t millrace_return_data(void *destination, uint64_t offset, uint64_t length) {
    return millrace_ecall(MILLRACE_NUMBER_RETURN_DATA, millrace_pointer(destination), offset, length, 0).a0;
}

/* Grows the heap by pages of 4,096 zero bytes: its old end, or MILLRACE_ABSENT. */
static inline uint64_t millrace_heap_grow(uint64_t pages) {
    return millrace_ecall(MILLRACE_NUMBER_HEAP_GROW, pages, 0, 0, 0).a0;
}

static inline millrace_hash millrace_blake3(const void *bytes, uint64_t length) {
    millrace_hash hash = {{0}};
    millrace_ecall(MILLRACE_NUMBER_BLAKE3, millrace_pointer(bytes), length, millrace_pointer(&hash), 0);
    return hash;
}

static inline millrace_hash millrace_sha256(const void *bytes, uint64_t length) {
    millrace_hash hash = {{0}};
    millrace_ecall(MILLRACE_NUMBER_SHA256, millrace_pointer(bytes), length, millrace_pointer(&hash), 0);
    return hash;
}

/* With the padding that Ethereum uses. */
static inline millrace_hash millrace_keccak256(const void *bytes, uint64_t length) {
    millrace_hash hash = {{0}};
    millrace_ecall(MILLRACE_NUMBER_KECCAK256, millrace_pointer(bytes), length, millrace_pointer(&hash), 0);
    return hash;
}

/* Whether the 64 bytes of `signature` are valid for the message under the 32 of `public_key`, by ZIP-215. */
static inline bool millrace_ed25519_verify(const uint8_t public_key[32], const void *message, uint64_t length,
                                           const uint8_t signature[64]) {
    return millrace_ecall(MILLRACE_NUMBER_ED25519_VERIFY, millrace_pointer(public_key), millrace_pointer(message), length,
                          millrace_pointer(signature))
               .a0 == 1;
}

/* Makes the entry point, and the two functions that compilers call by themselves. */
#define MILLRACE_CONTRACT(init, call)                                                  \
    void *memcpy(void *restrict to, const void *restrict from, size_t count) {         \
        for (size_t i = 0; i < count; i++) {                                           \
            ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];                  \
        }                                                                              \
        return to;                                                                     \
    }                                                                                  \
    void *memset(void *to, int byte, size_t count) {                                   \
        for (size_t i = 0; i < count; i++) {                                           \
            ((volatile uint8_t *)to)[i] = (uint8_t)byte;                               \
        }                                                                              \
        return to;                                                                     \
    }                                                                                  \
    __attribute__((noreturn)) void _start(void) {                                      \
        if (millrace_is_initialising()) {                                              \
            init();                                                                    \
        } else {                                                                       \
            call();                                                                    \
        }                                                                              \
        millrace_return("", 0);                                                        \
    }                                                                                  \
    _Static_assert(sizeof(void *) == 8, "contracts are 64-bit programs")

#endif
