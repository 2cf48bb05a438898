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
        /// An owned future had its turn or found nobody ahead.
        OwnedHolds,
        /// A first poll for several ids held them all.
        AllHoldAtOnce,
        /// A poll for several ids held one and waits for the next.
        AllHoldsAndWaits,
        /// A turn of one of several ids led to the next, for which it waits.
        AllGoesOn,
        /// One that holds some of its ids, and waits for another, was dropped.
        DropAllHalfWay,
        /// Trying to lock several ids held them.
        TryAllHolds,
        /// Trying to lock several ids was refused for one that is not the first.
        TryAllRefusedHalfWay,
        /// An exclusive hold was downgraded, and no reader was at the head.
        DowngradeAlone,
        /// An exclusive hold was downgraded, and readers at the head hold, too.
        DowngradeLetsSharedJoin,
        /// A shared hold was downgraded, which does nothing.
        DowngradeShared,
        /// The lock was closed while somebody waited.
        CloseEndsWaiters,
        /// The lock was closed while a turn was handed over and not taken.
        CloseLeavesTurn,
        /// The lock was closed again.
        CloseAgain,
        /// A first poll found the lock closed.
        RefusedBecauseClosed,
        /// Trying found the id free and the lock closed.
        TryRefusedBecauseClosed,
        /// A future whose wait was ended was polled.
        PollEnded,
        /// A future whose wait was ended was dropped unpolled.
        DropEnded,
        /// A turn was taken in a closed lock.
        TakeTurnOfClosed,
        /// One that holds some of its ids found the lock closed.
        AllEndsHalfWay,
        /// Who began to watch found the id free.
        WatchFree,
        /// Who began to watch found the id held, and waits.
        WatchHeld,
        /// Who watches was polled again, with another waker, before the id was free.
        WatchAgain,
        /// A release told who watches.
        ReleaseTellsWatcher,
        /// A turn that was dropped told who watches.
        DropTurnTellsWatcher,
        /// Who was told looked, and the id was held again.
        ToldButHeldAgain,
        /// Who watches was dropped before the id was free.
        DropWatcher,
        /// Who watches was dropped after it was told.
        DropTold,
        /// All was free at once.
        WatchAllFree,
        /// Who began to watch all found an id held, and waits.
        WatchAllBegins,
        /// Who watches all saw one table empty, and waits for the next.
        WatchAllGoesOn,
        /// Who watches all saw the last table empty.
        WatchAllEnds,
        /// The same, in a closed lock.
        WatchAllEndsOfClosed,
        /// All ids were in use.
        AllIdsInUse,
        /// All places for futures and guards were taken.
        AllPlacesTaken,
        /// The last id in use was freed by an operation.
        Idle,
    }
}
