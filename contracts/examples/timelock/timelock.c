/* Keeps units of the native token until a time that their owner named: a contract in C.
 *
 * interface.json beside this file says what it takes and returns; inputs are those of docs/spec/contracts.md. Storage:
 * `deposit/` and the owner's address hold the amount (16 bytes) and the time (8 bytes, milliseconds since the Unix epoch),
 * little endian. */
#include "millrace.h"

typedef struct {
    uint64_t amount[2];
    uint64_t until_ms;
} deposit;

/* `deposit/` and an address. */
typedef struct {
    uint8_t prefix[8];
    millrace_address owner;
} deposit_key;

_Static_assert(sizeof(deposit) == 24 && sizeof(deposit_key) == 40, "as they lie in storage");

enum { LOCK = 0x01, WITHDRAW = 0x02, DEPOSIT_OF = 0x10 };

static const millrace_hash LOCKED = {"locked"};
static const millrace_hash WITHDRAWN = {"withdrawn"};

static deposit_key key_of(millrace_address owner) {
    return (deposit_key){{'d', 'e', 'p', 'o', 's', 'i', 't', '/'}, owner};
}

static deposit load(const deposit_key *key) {
    deposit stored = {{0, 0}, 0};
    millrace_storage_get(key, sizeof *key, &stored, sizeof stored);
    return stored;
}

static millrace_amount amount_of(const deposit *stored) {
    return (millrace_amount)stored->amount[1] << 64 | stored->amount[0];
}

static void refuse_value(void) {
    if (millrace_value() != 0) {
        MILLRACE_REVERT("this function takes no value");
    }
}

/* Reads the arguments behind the selector: exactly so many bytes. */
static void arguments(void *destination, uint64_t length) {
    uint64_t input = millrace_input_len() - 1;
    if (input < length) {
        MILLRACE_REVERT("the input ends inside an argument");
    }
    if (input > length) {
        MILLRACE_REVERT("the input has bytes after its last argument");
    }
    millrace_input_read(destination, 1, length);
}

static void emit(const millrace_hash *name, const millrace_address *owner, const void *data, uint64_t length) {
    millrace_hash topics[2];
    topics[0] = *name;
    __builtin_memcpy(topics[1].bytes, owner->bytes, sizeof owner->bytes);
    millrace_log(topics, 2, data, length);
}

/* Adds what comes with the call to the caller's deposit, which is kept until `until_ms`. */
static void lock(void) {
    uint64_t until_ms;
    arguments(&until_ms, sizeof until_ms);
    millrace_amount value = millrace_value();
    if (value == 0) {
        MILLRACE_REVERT("NoValue");
    }
    deposit_key key = key_of(millrace_caller());
    deposit stored = load(&key);
    if (until_ms < stored.until_ms) {
        MILLRACE_REVERT("ShorterLock");
    }
    /* No overflow: this contract holds the sum. */
    millrace_amount sum = amount_of(&stored) + value;
    stored = (deposit){{(uint64_t)sum, (uint64_t)(sum >> 64)}, until_ms};
    millrace_storage_set(&key, sizeof key, &stored, sizeof stored);
    emit(&LOCKED, &key.owner, &stored, sizeof stored);
}

/* Pays the caller's deposit back and returns how much it was. */
static void withdraw(void) {
    refuse_value();
    arguments(NULL, 0);
    deposit_key key = key_of(millrace_caller());
    deposit stored = load(&key);
    millrace_amount amount = amount_of(&stored);
    if (amount == 0) {
        MILLRACE_REVERT("NothingLocked");
    }
    if (millrace_block().timestamp_ms < stored.until_ms) {
        MILLRACE_REVERT("StillLocked");
    }
    millrace_storage_remove(&key, sizeof key);
    millrace_transfer(&key.owner, amount);
    emit(&WITHDRAWN, &key.owner, stored.amount, sizeof stored.amount);
    millrace_return(stored.amount, sizeof stored.amount);
}

/* An account's deposit: amount and time. */
static void deposit_of(void) {
    refuse_value();
    millrace_address owner;
    arguments(&owner, sizeof owner);
    deposit_key key = key_of(owner);
    deposit stored = load(&key);
    millrace_return(&stored, sizeof stored);
}

static void init(void) {
    refuse_value();
    if (millrace_input_len() != 0) {
        MILLRACE_REVERT("the input has bytes after its last argument");
    }
}

static void call(void) {
    uint8_t selector;
    if (millrace_input_read(&selector, 0, 1) != 1) {
        MILLRACE_REVERT("the input ends inside an argument");
    }
    switch (selector) {
    case LOCK: lock(); break;
    case WITHDRAW: withdraw(); break;
    case DEPOSIT_OF: deposit_of(); break;
    default: MILLRACE_REVERT("unknown selector");
    }
}

MILLRACE_CONTRACT(init, call);
