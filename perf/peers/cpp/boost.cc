// boost.fiber, as src/boost.rs uses it. All of it runs on one host thread, which has a scheduler of its own.

#include <boost/fiber/all.hpp>

#include <cstdint>

namespace fibers = boost::fibers;

namespace {

constexpr std::size_t stack_size = 64 * 1024;

using channel = fibers::buffered_channel<std::uint32_t>;

struct ping_pong {
    // A channel's capacity is a power of two, less one.
    channel to{2};
    channel back{2};
    fibers::fiber partner;
};

fibers::promise<void>* parked = nullptr;

}  // namespace

extern "C" {

// Fibers that yield for ever, whenever the thread's own does.
void peers_boost_yielding(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(stack_size), [] {
            for (;;) {
                boost::this_fiber::yield();
            }
        }).detach();
    }
}

void peers_boost_yield(std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i) {
        boost::this_fiber::yield();
    }
}

// Begins and ends fibers on pooled stacks, so many at once.
std::uint64_t peers_boost_live(std::uint64_t times, std::uint64_t at_once) {
    static thread_local fibers::pooled_fixedsize_stack stacks(stack_size);
    std::uint64_t ran = 0;
    fibers::fiber all[64];
    for (std::uint64_t i = 0; i < times; i += at_once) {
        for (std::uint64_t j = 0; j < at_once; ++j) {
            all[j] = fibers::fiber(std::allocator_arg, stacks, [&ran] { ++ran; });
        }
        for (std::uint64_t j = 0; j < at_once; ++j) {
            all[j].join();
        }
    }
    return ran;
}

void* peers_boost_ping_pong_new() {
    auto* pair = new ping_pong;
    pair->partner = fibers::fiber([pair] {
        std::uint32_t value = 0;
        while (pair->to.pop(value) == fibers::channel_op_status::success) {
            pair->back.push(value);
        }
    });
    return pair;
}

void peers_boost_ping_pong(void* both, std::uint64_t times) {
    auto* pair = static_cast<ping_pong*>(both);
    for (std::uint64_t i = 0; i < times; ++i) {
        std::uint32_t value = 0;
        pair->to.push(static_cast<std::uint32_t>(i));
        pair->back.pop(value);
    }
}

// Fibers that wait for what never comes; returns when all of them do.
void peers_boost_park(std::uint64_t count) {
    parked = new fibers::promise<void>;
    static fibers::shared_future<void> never = parked->get_future().share();
    for (std::uint64_t i = 0; i < count; ++i) {
        fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(stack_size), [] { never.wait(); }).detach();
    }
    boost::this_fiber::yield();
}

}  // extern "C"
