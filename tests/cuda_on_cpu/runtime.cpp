// Runs a kernel's grid on one CPU thread: blocks one after another, the threads of a block as fibers that switch at
// __syncthreads() and warp operations, in an order that the caller chooses. Design: see __init__.py.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>
#include <algorithm>
#include <numeric>
#include <dlfcn.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <ucontext.h>
#endif
#define MC_RUNTIME
#include "cuda_cpu.h"

enum State { NEW, READY, AT_BARRIER, IN_WARP, DONE };
struct Thread {
    State state;
    int stack, kind, lane, width, line;         // where it waits, and for what
    unsigned mask;
    unsigned long long value;
    const char* file;
};
static const int MOST = 1024, STACK = 128 * 1024, GUARD = 4096;
static Thread threads[MOST];
static int count, running;                      // threads of a block, the one that runs
static void (*invoke)(void**);
static void** arguments;
static char message[1024];

extern "C" mc_context mc_now = {};
extern "C" const char* mc_message() { return message; }
extern "C" void* mc_base(void* code) { Dl_info info; dladdr(code, &info); return info.dli_fbase; }

// ------------------------------------------------------------------ fibers: stack 0..MOST-1, made when first used

static char* stacks[MOST];
static std::vector<int> free_stacks;

static void thread_main();

#if defined(__x86_64__)
static void *fiber_sp[MOST], *scheduler_sp;
extern "C" void mc_switch(void** from, void* to);       // save the callee-saved registers and the stack, load others
asm(".text\n.globl mc_switch\n.type mc_switch,@function\nmc_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size mc_switch,.-mc_switch\n");
static void prepare(int s) {
    void** top = (void**)(stacks[s] + STACK);
    *--top = nullptr;                           // the stack of a function is off by 8 from a multiple of 16
    *--top = (void*)thread_main;
    fiber_sp[s] = top - 6;
}
static void enter(int s) { mc_switch(&scheduler_sp, fiber_sp[s]); }
static void leave(int s) { mc_switch(&fiber_sp[s], scheduler_sp); }
static unsigned flush_denormals() { unsigned old = _mm_getcsr(); _mm_setcsr(old | 0x8040); return old; }
static void restore(unsigned old) { _mm_setcsr(old); }
#else
static ucontext_t fiber_context[MOST], scheduler_context;
static void prepare(int s) {
    getcontext(&fiber_context[s]);
    fiber_context[s].uc_stack.ss_sp = stacks[s];
    fiber_context[s].uc_stack.ss_size = STACK;
    makecontext(&fiber_context[s], thread_main, 0);
}
static void enter(int s) { swapcontext(&scheduler_context, &fiber_context[s]); }
static void leave(int s) { swapcontext(&fiber_context[s], &scheduler_context); }
#if defined(__aarch64__)
static unsigned long flush_denormals() {
    unsigned long old; asm volatile("mrs %0, fpcr" : "=r"(old)); asm volatile("msr fpcr, %0" :: "r"(old | 1ul << 24));
    return old;
}
static void restore(unsigned long old) { asm volatile("msr fpcr, %0" :: "r"(old)); }
#else
static int flush_denormals() { return 0; }
static void restore(int) {}
#endif
#endif

static void thread_main() {
    invoke(arguments);
    threads[running].state = DONE;
    leave(threads[running].stack);
    __builtin_unreachable();
}

static mc_dim3 place(unsigned i, mc_dim3 size) { return {i % size.x, i / size.x % size.y, i / size.x / size.y}; }

static void run(int t) {
    Thread& thread = threads[t];
    if (thread.state == NEW) {
        thread.stack = free_stacks.back();
        free_stacks.pop_back();
        if (!stacks[thread.stack]) {
            char* p = (char*)mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            mprotect(p, GUARD, PROT_NONE);
            stacks[thread.stack] = p + GUARD;
        }
        prepare(thread.stack);
    }
    thread.state = READY;
    running = t;
    mc_now.thread = place(t, mc_now.threads);
    enter(thread.stack);
    if (thread.state == DONE) free_stacks.push_back(thread.stack);
}

// ------------------------------------------------------------------ what kernels call

template <class... A> static void tell(const char* format, A... a) {
    if (!message[0]) snprintf(message, sizeof message, format, a...);
}

// Report a fault of the running thread and leave it for ever; the scheduler gives up the launch.
template <class... A> static void fault(const char* format, A... a) {
    tell(format, a...);
    leave(threads[running].stack);
}

static void wait(State state, const char* file, int line) {
    Thread& me = threads[running];
    me.state = state, me.file = file, me.line = line;
    leave(me.stack);
}

extern "C" void mc_barrier(const char* file, int line) { wait(AT_BARRIER, file, line); }

// ------------------------------------------------------------------ check mode: every access to memory

// Who touched an element last, since when no barrier passed; blocks count from 1, thread or warp -1 are several.
struct Access { int block, epoch, warp_epoch; short thread, warp; void* pc; };
struct Cell { Access write, read; int other_reader; bool atomic; };
struct Region { char *begin, *end; int element, argument; bool constant; Cell* cells; };    // -1: shared memory
static Region* regions;
static int region_count, block_number, epoch, warp_epoch[MOST];
static bool dirty[MOST], acquired;              // wrote since its last __threadfence; sees what was released before
static std::vector<char> released;              // blocks whose writes a fence and an atomic made known

static bool ordered(const Access& a, bool shared) {
    if (a.block == 0) return true;
    if (a.block != block_number) return shared || (acquired && released[a.block]);
    return a.epoch != epoch || a.thread == running || (a.warp == running / 32 && a.warp_epoch < warp_epoch[running]);
}

static void race(const Region& r, long i, const char* now, void* pc, const char* then, const Access& a) {
    fault("RACE: thread %d of block %d %s #%d[%ld] at @%p, thread %d of block %d %s it at @%p, nothing lies between",
          running, block_number - 1, now, r.argument, i, pc, a.thread, a.block - 1, then, a.pc);
}

static void touch(char* p, long size, bool write, bool atomic, void* pc) {
    char* stack = stacks[threads[running].stack];
    if ((p >= stack && p < stack + STACK) || (p >= (char*)&mc_now && p < (char*)(&mc_now + 1))) return;
    Region *r = nullptr, *near = nullptr;
    long least = 0;
    for (Region* at = regions; at < regions + region_count && !r; at++) {
        long off = p < at->begin ? at->begin - p : p + size > at->end ? p + size - at->end : 0;
        if (!off) r = at;
        else if (!near || off < least) near = at, least = off;
    }
    if (!r) fault("OUT OF BOUNDS: thread %d of block %d %s %ld bytes %s #%d at @%p", running, block_number - 1,
                  write ? "writes" : "reads", least, p < near->begin ? "before" : "behind", near->argument, pc);
    if (write && r->constant) fault("WRITE TO CONST: thread %d writes #%d at @%p", running, r->argument, pc);
    bool shared = r->argument < 0;
    short thread = running, warp = running / 32;
    Access now = {block_number, epoch, warp_epoch[running], thread, warp, pc};
    for (long i = (p - r->begin) / r->element; i <= (p + size - 1 - r->begin) / r->element; i++) {
        Cell& c = r->cells[i];
        if (!(atomic && c.atomic) && !ordered(c.write, shared))
            race(*r, i, write ? "writes" : "reads", pc, "wrote", c.write);
        if (!write && shared && c.write.block != block_number)
            fault("UNINITIALISED: thread %d reads #%d[%ld] at @%p, which this block did not write", running,
                  r->argument, i, pc);
        if (write) {
            Access other = c.read;
            other.block = c.other_reader;
            if (!ordered(c.read, shared)) race(*r, i, "writes", pc, "read", c.read);
            if (!ordered(other, shared)) race(*r, i, "writes", pc, "read", other);
            c.write = now, c.atomic = atomic, dirty[running] |= !shared;
        } else if (c.read.block == block_number && !ordered(c.read, shared)) {      // one among several readers
            c.read.thread = -1;
            if (c.read.warp != warp) c.read.warp = -1;
            c.read.warp_epoch = std::max(c.read.warp_epoch, now.warp_epoch);
        } else {
            if (!ordered(c.read, shared)) c.other_reader = c.read.block;
            c.read = now;
        }
    }
}

// After a __threadfence of all that wrote, an atomic hands this block's writes to the blocks that do one later.
extern "C" void mc_fence() { dirty[running] = false; }
extern "C" void mc_atomic(void* p, int size, void* pc) {
    if (!region_count) return;
    bool before = dirty[running];
    touch((char*)p, size, true, true, pc);
    dirty[running] = before;
    acquired = true;
    if (std::none_of(dirty, dirty + count, [](bool d) { return d; })) released[block_number] = true;
}

#define HERE __builtin_return_address(0)
#define TOUCH(n) \
    extern "C" void __tsan_read##n(char* p) { touch(p, n, false, false, HERE); } \
    extern "C" void __tsan_write##n(char* p) { touch(p, n, true, false, HERE); } \
    extern "C" void __tsan_unaligned_read##n(char* p) { touch(p, n, false, false, HERE); } \
    extern "C" void __tsan_unaligned_write##n(char* p) { touch(p, n, true, false, HERE); }
TOUCH(1) TOUCH(2) TOUCH(4) TOUCH(8) TOUCH(16)
extern "C" void __tsan_read_range(char* p, long size) { touch(p, size, false, false, HERE); }
extern "C" void __tsan_write_range(char* p, long size) { touch(p, size, true, false, HERE); }
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}

struct Source { const char* file; unsigned line, column; };     // what data of UBSan's handlers begins with
#define UNDEFINED(name, what) \
    extern "C" void __ubsan_handle_##name(Source* s) { fault(what " at %s:%u", s->file, s->line); }
UNDEFINED(out_of_bounds, "OUT OF BOUNDS: an index is outside of its array")
UNDEFINED(add_overflow, "OVERFLOW: a sum does not fit in an int")
UNDEFINED(sub_overflow, "OVERFLOW: a difference does not fit in an int")
UNDEFINED(mul_overflow, "OVERFLOW: a product does not fit in an int")
UNDEFINED(negate_overflow, "OVERFLOW: a negated number does not fit in an int")
UNDEFINED(divrem_overflow, "OVERFLOW: a division by zero, or of the least int by -1,")
UNDEFINED(shift_out_of_bounds, "OVERFLOW: a shift by too much, or of too much,")
UNDEFINED(type_mismatch_v1, "MISALIGNED: a pointer is not aligned for what it points to")
UNDEFINED(load_invalid_value, "OVERFLOW: a bool is neither 0 nor 1")
UNDEFINED(float_cast_overflow, "OVERFLOW: a float does not fit in the integer it becomes")

// ------------------------------------------------------------------ warps

static unsigned long long exchange(int t, int first, unsigned votes) {
    Thread& me = threads[t];
    int lane = t - first, low = lane & ~(me.width - 1), high = low + me.width - 1, from = lane;
    switch (me.kind) {
        case MC_SYNC: return 0;
        case MC_BALLOT: return votes;
        case MC_ANY: return votes != 0;
        case MC_ALL: return votes == me.mask;
        case MC_IDX: from = low | (me.lane & (me.width - 1)); break;
        case MC_UP: from = lane - me.lane < low ? lane : lane - me.lane; break;
        case MC_DOWN: from = lane + me.lane > high ? lane : lane + me.lane; break;
        case MC_XOR: from = (lane ^ me.lane) > high ? lane : lane ^ me.lane; break;
    }
    if (!(me.mask >> from & 1))
        fault("BAD SHUFFLE: lane %d reads lane %d, which is not in the mask %08x, at %s:%d", lane, from, me.mask,
              me.file, me.line);
    return threads[first + from].value;
}

// A warp operation: the last lane of the mask to come does it for all.
extern "C" unsigned long long mc_warp(int kind, unsigned mask, unsigned long long value, int lane, int width,
                                      const char* file, int line) {
    int t = running, first = t & ~31;
    Thread& me = threads[t];
    me.kind = kind, me.mask = mask, me.value = value, me.lane = lane, me.width = width;
    me.file = file, me.line = line;
    if (!(mask >> (t - first) & 1))
        fault("BAD MASK: lane %d is not in its mask %08x, at %s:%d", t - first, mask, file, line);
    if (width < 1 || width > 32 || (width & (width - 1)))
        fault("BAD SHUFFLE: a width of %d is no power of two up to 32, at %s:%d", width, file, line);
    bool all = true;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1) || first + i == t) continue;
        Thread& other = threads[first + i];
        if (first + i >= count || other.state == DONE)
            fault("BAD MASK: %08x names lane %d, which %s, at %s:%d", mask, i,
                  first + i >= count ? "does not exist" : "has ended", file, line);
        if (other.state != IN_WARP) all = false;
        else if (other.mask != mask || other.kind != kind || other.line != line)
            fault("DIVERGENT: lane %d is at %s:%d with mask %08x, lane %d at %s:%d with mask %08x", t - first, file,
                  line, mask, i, other.file, other.line, other.mask);
    }
    if (!all) {
        wait(IN_WARP, file, line);
        return me.value;
    }
    unsigned votes = 0;
    unsigned long long results[32] = {};
    for (int i = 0; i < 32; i++) if (mask >> i & 1) votes |= (unsigned)(threads[first + i].value != 0) << i;
    for (int i = 0; i < 32; i++) if (mask >> i & 1) results[i] = exchange(first + i, first, votes);
    int latest = 0;
    for (int i = 0; i < 32; i++) if (mask >> i & 1) latest = std::max(latest, warp_epoch[first + i]);
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1)
            threads[first + i].value = results[i], threads[first + i].state = READY,
            warp_epoch[first + i] = latest + 1;
    return me.value;
}

// ------------------------------------------------------------------ the scheduler

static bool runnable(int t) { return threads[t].state <= READY; }

// Run these threads, in order, each until it waits, as long as any can run.
static void run_all(const int* order, int n) {
    for (bool any = true; any && !message[0];) {
        any = false;
        for (int i = 0; i < n && !message[0]; i++)
            if (runnable(order[i])) run(order[i]), any = true;
    }
}

// Nothing can run any more: is it a barrier that all have reached?
static bool open_barrier() {
    const Thread* at = nullptr;
    int ended = -1;
    for (int t = 0; t < count; t++) {
        Thread& thread = threads[t];
        if (thread.state == IN_WARP) {
            tell("DEADLOCK: thread %d waits for the lanes %08x at %s:%d, which are elsewhere", t, thread.mask,
                 thread.file, thread.line);
            return false;
        }
        if (thread.state == DONE) ended = t;
        else if (at && (at->line != thread.line || strcmp(at->file, thread.file)))
            tell("DIVERGENT: thread %d is at the __syncthreads of %s:%d, thread %d at that of %s:%d",
                 (int)(at - threads), at->file, at->line, t, thread.file, thread.line);
        else at = &thread;
        if (message[0]) return false;
    }
    if (at && ended >= 0)
        tell("DIVERGENT: thread %d waits at the __syncthreads of %s:%d, thread %d has ended", (int)(at - threads),
             at->file, at->line, ended);
    if (!at || message[0]) return false;
    for (int t = 0; t < count; t++) threads[t].state = READY;
    epoch++;
    return true;
}

static void run_block(const std::vector<int>& order, const std::vector<int>& groups) {
    free_stacks.resize(MOST);
    std::iota(free_stacks.rbegin(), free_stacks.rend(), 0);
    for (int t = 0; t < count; t++) threads[t].state = NEW, warp_epoch[t] = 0, dirty[t] = false;
    epoch = 0, acquired = false;
    do {
        for (bool any = true; any && !message[0];) {
            for (size_t g = 0; g + 1 < groups.size(); g++) run_all(&order[groups[g]], groups[g + 1] - groups[g]);
            any = std::any_of(order.begin(), order.end(), runnable);
        }
    } while (!message[0] && open_barrier());
}

// Schedules: 0 and 1 ascending and descending, 2 and 3 the same but one warp runs alone up to its next
// __syncthreads, from 4 on random blocks and threads, the odd ones warp by warp.
extern "C" int mc_launch(void (*kernel)(void**), void** args, mc_dim3 grid, mc_dim3 block, char* shared,
                         char* shared_end, int schedule, Region* given, int regions_given) {
    regions = given, region_count = regions_given;
    for (Region* r = regions; r < regions + region_count; r++)
        r->cells = (Cell*)calloc((r->end - r->begin) / r->element + 1, sizeof(Cell));
    invoke = kernel, arguments = args, message[0] = 0;
    count = block.x * block.y * block.z;
    mc_now = {{}, {}, block, grid};
    bool random = schedule >= 4, odd = schedule & 1, greedy = random ? odd : schedule >= 2, descending = !random && odd;
    int size = greedy ? 32 : count;             // threads that run among themselves until all wait at a barrier
    std::vector<int> order, starts, groups;
    for (int start = 0; start < count; start += size) starts.push_back(start);
    std::vector<unsigned> blocks(grid.x * grid.y * grid.z);
    std::iota(blocks.begin(), blocks.end(), 0u);
    released.assign(blocks.size() + 1, 0);
    std::mt19937 generator(schedule);
    auto arrange = [&](auto first, auto last) {
        if (descending) std::reverse(first, last);
        if (random) std::shuffle(first, last, generator);
    };
    arrange(blocks.begin(), blocks.end());
    auto fp = flush_denormals();
    for (unsigned b : blocks) {
        std::sort(starts.begin(), starts.end());
        arrange(starts.begin(), starts.end());
        order.clear(), groups.assign(1, 0);
        for (int start : starts) {
            for (int t = start; t < std::min(start + size, count); t++) order.push_back(t);
            arrange(order.begin() + groups.back(), order.end());
            groups.push_back(order.size());
        }
        mc_now.block = place(b, grid);
        block_number = b + 1;
        if (shared) memset(shared, 0xff, shared_end - shared);      // NaN
        run_block(order, groups);
        if (message[0]) break;
    }
    restore(fp);
    for (Region* r = regions; r < regions + region_count; r++) free(r->cells);
    return message[0] != 0;
}
