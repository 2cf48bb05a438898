//! [`Event`]: what a run can meet.

use crate::events::events;

events! {
    /// An operation or a kind of hand-off that a run can meet.
    pub enum Event {
        /// A future was made and not polled.
        Start,
        /// A first poll found nobody ahead.
        HoldAtOnce,
        /// A first poll of a shared request joined other shared holders.
        JoinSharedHolders,
        /// A first poll found the id held, and nobody queued.
        QueueFirst,
        /// A first poll found others queued.
        QueueBehind,
        /// A shared request queued although the holders are shared, because somebody was ahead.
        SharedQueuesBehindExclusive,
        /// A queued future was polled with the waker that it has.
        PollWithSameWaker,
        /// A queued future was polled with another waker, which replaces the one it has.
        PollWithOtherWaker,
        /// A future whose turn had come was polled.
        TakeTurn,
        /// The same, with a waker other than the one that was woken.
        TakeTurnWithOtherWaker,
        /// A waker was woken that is not the one of the first poll.
        WakeLatest,
        /// One waker of two queued futures was woken for both by one call.
        WakeSharedTwice,
        /// A future was dropped before its first poll.
        DropUnpolled,
        /// The only one in the queue was dropped.
        DropOnlyWaiter,
        /// The head of a longer queue was dropped.
        DropHead,
        /// One in the middle of a queue was dropped.
        DropMiddle,
        /// The tail of a longer queue was dropped.
        DropTail,
        /// The head was dropped, and shared requests behind it joined the shared holders.
        DropHeadLetsSharedJoin,
        /// A future was dropped after its turn had come, with nobody behind it.
        DropTurnOfLast,
        /// A future was dropped after its turn had come, and the turn passed on.
        DropTurnPassesOn,
        /// The one it passed on to was dropped as well.
        DropSecondTurnPassesOn,
        /// And so was the third.
        DropThirdTurnPassesOn,
        /// One of several shared turns was dropped; the others hold on.
        DropOneOfSharedTurns,
        /// A hold was released and its id is free.
        ReleaseToNobody,
        /// A shared hold was released while others hold on.
        ReleaseOneOfShared,
        /// An exclusive holder, then another.
        ExclusiveToExclusive,
        /// An exclusive holder, then one shared.
        ExclusiveToOneShared,
        /// An exclusive holder, then a run of shared ones.
        ExclusiveToSharedRun,
        /// The last shared holder, then an exclusive one.
        SharedToExclusive,
        /// A run of shared ones ended before a queued exclusive one.
        SharedRunStopsAtExclusive,
        /// `try_write` found the id free.
        TryExclusiveHolds,
        /// `try_read` found the id free.
        TrySharedHolds,
        /// `try_read` joined other shared holders.
        TrySharedJoins,
        /// `try_write` found the id held, with nobody queued.
        TryExclusiveRefused,
        /// `try_read` found the id held by an exclusive holder, with nobody queued.
        TrySharedRefused,
        /// `try_read` would go with the shared holders, and was refused because of the queue.
        TryRefusedBecauseOfQueue,
        /// `try_write` or `try_read` met a turn that had been handed over and not been taken.
        TryRefusedBecauseOfTurn,
        /// All ids were in use.
        AllIdsInUse,
        /// All places for futures and guards were taken.
        AllPlacesTaken,
        /// The last id in use was freed by an operation.
        Idle,
    }
}
