/* A plugin whose note and table are bent by definitions; without any it is well-formed and does nothing. */
#include "millrace_plugin.h"

#include <fcntl.h>
#include <unistd.h>

#ifndef NOTE_MAJOR
#define NOTE_MAJOR MILLRACE_ABI_MAJOR
#endif
#ifndef NOTE_MINOR
#define NOTE_MINOR MILLRACE_ABI_MINOR
#endif
#ifndef NOTE_SCHEMA
#define NOTE_SCHEMA MILLRACE_SCHEMA
#endif
#ifndef NOTE_NAME
#define NOTE_NAME "Millrace"
#endif
#ifndef NOTE_ID
#define NOTE_ID "bent/1"
#endif
#ifndef NOTE_DESCRIPTOR_SIZE
#define NOTE_DESCRIPTOR_SIZE sizeof(MillraceNoteDescriptor)
#endif
#ifndef MAGIC
#define MAGIC MILLRACE_PLUGIN_MAGIC
#endif
#ifndef MAJOR
#define MAJOR MILLRACE_ABI_MAJOR
#endif
#ifndef SIZE
#define SIZE sizeof(MillracePlugin)
#endif
#ifndef TABLE_ID
#define TABLE_ID NOTE_ID
#endif
#ifndef VERSION
#define VERSION "1.2.3"
#endif
#ifndef START
#define START start
#endif
#ifndef DELIVER
#define DELIVER deliver
#endif
#ifndef STOP
#define STOP stop
#endif
#ifndef STARTED
#define STARTED MILLRACE_OK
#endif
#ifndef DELIVERED
#define DELIVERED MILLRACE_OK
#endif
#ifndef STOPPED
#define STOPPED MILLRACE_OK
#endif

#ifndef NO_NOTE
__attribute__((used, section(".note.millrace"))) static const MillraceNote note = {
    MILLRACE_NOTE_NAME_SIZE, NOTE_DESCRIPTOR_SIZE, MILLRACE_NOTE_TYPE, NOTE_NAME,
    {NOTE_MAJOR, NOTE_MINOR, NOTE_SCHEMA, NOTE_ID}};
#endif
#ifdef SECOND_NOTE
__attribute__((used, section(".note.millrace"))) static const MillraceNote second_note = {
    MILLRACE_NOTE_NAME_SIZE, sizeof(MillraceNoteDescriptor), MILLRACE_NOTE_TYPE, "Millrace",
    {NOTE_MAJOR, NOTE_MINOR, NOTE_SCHEMA, "other/1"}};
#endif

#ifdef MARK
/* Shows that code of this library ran. */
__attribute__((constructor)) static void leave_a_mark(void)
{
    int mark = open(MARK, O_CREAT | O_WRONLY, 0600);
    if (mark >= 0)
        close(mark);
}
#endif

#ifdef NEEDS
extern int a_function_that_nobody_defines(void);
int needs_it(void);
int needs_it(void) { return a_function_that_nobody_defines(); }
#endif

extern MillraceStatus start(const MillraceHost *host, const MillraceChainState *chain, void **instance);
extern MillraceStatus deliver(void *instance, MillraceEvent *event);
extern MillraceStatus stop(void *instance, uint64_t deadline_ms);

MillraceStatus start(const MillraceHost *host, const MillraceChainState *chain, void **instance)
{
    (void)chain;
    *instance = (void *)host;
#ifdef FATAL_IN_START
    host->fatal(host->context, MILLRACE_E_FATAL, millrace_text("the moon is in the wrong house"));
#endif
    return STARTED;
}

MillraceStatus deliver(void *instance, MillraceEvent *event)
{
    (void)instance;
    (void)event;
#ifdef HANG
    for (;;)
        pause();
#endif
    return DELIVERED;
}

MillraceStatus stop(void *instance, uint64_t deadline_ms)
{
    (void)instance;
    (void)deadline_ms;
    return STOPPED;
}

#if defined(NO_TABLE)
#elif defined(FUNCTION_TABLE)
int millrace_plugin_is_a_function(void) __asm__("millrace_plugin");
int millrace_plugin_is_a_function(void) { return 1; }
#elif defined(SMALL_TABLE)
/* Claims to be whole, and is not. */
struct small { uint64_t magic; uint16_t major, minor; uint32_t size; const char *id; };
const struct small small_table __asm__("millrace_plugin") = {MAGIC, MAJOR, 0, sizeof(MillracePlugin), TABLE_ID};
#elif defined(TINY_TABLE)
const uint32_t tiny_table __asm__("millrace_plugin") = 1;
#else
const MillracePlugin millrace_plugin = {
    .magic = MAGIC, .abi_major = MAJOR, .abi_minor = MILLRACE_ABI_MINOR, .size = SIZE,
    .consensus_id = TABLE_ID, .version = VERSION, .start = START, .deliver = DELIVER, .stop = STOP};
#endif
