//! `LockTable` used directly: what does each call give back?

use std::rc::Rc;

use lockcore::{Due, Hold, Joined, LockTable, Mode, NoTurn, Status, Ticket};

type Table = LockTable<String, &'static str>;

const ID: &str = "payment-123";

fn try_lock(table: &mut Table, mode: Mode) -> Option<Hold> {
    table.try_lock(table.hash(ID), ID, mode)
}

fn queue(table: &mut Table, mode: Mode, name: &'static str) -> Ticket {
    match table.lock(table.hash(ID), ID, mode, name) {
        Joined::Waits(ticket) => ticket,
        Joined::Holds(..) | Joined::Closed(_) => panic!("{name} ought to wait"),
    }
}

fn turns(
    table: &mut Table,
    leave: impl FnOnce(&mut Table) -> Due<String, &'static str>,
) -> Vec<&'static str> {
    let due = leave(table);
    table.check();
    due.into_turns().collect()
}

fn status(table: &Table) -> Option<(Mode, usize, usize)> {
    table.status(table.hash(ID), ID).map(|Status { mode, holders, waiting, .. }| {
        table.check();
        (mode, holders, waiting)
    })
}

#[test]
fn lock_gives_back_what_was_to_come_with_the_turn() {
    let mut table = Table::new();
    let Joined::Holds(hold, "alice") = table.lock(table.hash(ID), ID, Mode::Shared, "alice") else {
        panic!("nobody is ahead");
    };
    assert_eq!((hold.mode(), table.id(&hold).as_str()), (Mode::Shared, ID));
    assert!(turns(&mut table, |table| table.release(hold)).is_empty());
    assert!(table.is_empty());
}

#[test]
fn a_turn_is_taken_once_it_has_come() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let ticket = queue(&mut table, Mode::Exclusive, "bob");
    assert_eq!(ticket.mode(), Mode::Exclusive);
    let Err(NoTurn::Waits(ticket)) = table.take_turn(ticket) else { panic!("it is alice's turn") };
    assert_eq!(turns(&mut table, |table| table.release(hold)), ["bob"]);
    let hold = table.take_turn(ticket).unwrap();
    assert_eq!((hold.mode(), status(&table)), (Mode::Exclusive, Some((Mode::Exclusive, 1, 0))));
    drop(table.release(hold));
    assert!(table.is_empty());
}

#[test]
fn what_comes_back_can_be_replaced_until_the_turn_comes() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let ticket = queue(&mut table, Mode::Exclusive, "bob");
    assert_eq!(table.waiting_mut(&ticket).map(|name| std::mem::replace(name, "bea")), Some("bob"));
    assert_eq!(turns(&mut table, |table| table.release(hold)), ["bea"]);
    assert!(table.waiting_mut(&ticket).is_none(), "the turn has come");
    drop(table.cancel(ticket));
    assert!(table.is_empty());
}

#[test]
fn turns_come_in_the_order_of_the_queue() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let run = ["b", "c", "d"].map(|name| queue(&mut table, Mode::Shared, name));
    let last = queue(&mut table, Mode::Exclusive, "e");
    assert_eq!(turns(&mut table, |table| table.release(hold)), ["b", "c", "d"]);
    assert_eq!(status(&table), Some((Mode::Shared, 3, 1)));
    let [b, c, d] = run;
    assert!(turns(&mut table, |table| table.cancel(c)).is_empty(), "the others of the run hold");
    let (d, b) = (table.take_turn(d).unwrap(), table.take_turn(b).unwrap());
    assert!(b.token() < d.token());
    assert!(turns(&mut table, |table| table.release(b)).is_empty());
    assert_eq!(turns(&mut table, |table| table.release(d)), ["e"]);
    drop(table.cancel(last));
    assert!(table.is_empty());
}

#[test]
fn cancelling_passes_a_turn_on_or_leaves_the_queue() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Shared).unwrap();
    let writer = queue(&mut table, Mode::Exclusive, "writer");
    let reader = queue(&mut table, Mode::Shared, "reader");
    let last = queue(&mut table, Mode::Exclusive, "last");
    assert_eq!(turns(&mut table, |table| table.cancel(writer)), ["reader"]);
    assert!(turns(&mut table, |table| table.release(hold)).is_empty());
    assert_eq!(turns(&mut table, |table| table.cancel(reader)), ["last"]);
    assert!(turns(&mut table, |table| table.cancel(last)).is_empty());
    assert!(table.is_empty());
}

/// Invariant 9: nothing of the caller's is dropped inside the call.
#[test]
fn the_leavers_own_comes_back_to_be_dropped() {
    let mut table = LockTable::<u64, Rc<()>>::new();
    let mine = Rc::new(());
    let hash = table.hash(&1);
    let hold = table.try_lock(hash, &1, Mode::Exclusive).unwrap();
    let Joined::Waits(ticket) = table.lock(hash, &1, Mode::Exclusive, mine.clone()) else {
        panic!("somebody is ahead");
    };
    let due = table.cancel(ticket);
    assert_eq!(Rc::strong_count(&mine), 2, "it is in the result");
    drop(due);
    assert_eq!(Rc::strong_count(&mine), 1);
    drop(table.release(hold));
    table.check();
}

/// Invariant 9, for an id.
#[test]
fn an_id_that_nobody_uses_comes_back_to_be_dropped() {
    let mut table = LockTable::<Rc<u64>, ()>::new();
    let id = Rc::new(1);
    let hash = table.hash(&id);
    let hold = table.try_lock(hash, &id, Mode::Shared).unwrap();
    let due = table.release(hold);
    assert!(table.is_empty());
    assert_eq!(Rc::strong_count(&id), 2, "it is in the result");
    drop(due);
    assert_eq!(Rc::strong_count(&id), 1);
}

#[test]
fn ids_in_use_are_listed_with_their_status() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Shared).unwrap();
    let ticket = queue(&mut table, Mode::Exclusive, "bob");
    let other = table.try_lock(table.hash("other"), "other", Mode::Exclusive).unwrap();
    let mut listed: Vec<_> =
        table.iter().map(|(id, status)| (id.as_str(), status.holders, status.waiting)).collect();
    listed.sort_unstable();
    assert_eq!(listed, [("other", 1, 0), (ID, 1, 1)]);
    assert!(format!("{table:?}").contains(ID));
    assert_eq!(table.len(), 2);
    for due in [table.cancel(ticket), table.release(hold), table.release(other)] {
        drop(due);
    }
    assert_eq!(table.iter().count(), 0);
}

/// A run of holders that is long enough for every list inside to grow.
#[test]
fn a_thousand_shared_turns_come_at_once() {
    let mut table = LockTable::<u64, usize>::new();
    let hash = table.hash(&1);
    let hold = table.try_lock(hash, &1, Mode::Exclusive).unwrap();
    let tickets: Vec<_> = (0..1000)
        .map(|number| match table.lock(hash, &1, Mode::Shared, number) {
            Joined::Waits(ticket) => ticket,
            Joined::Holds(..) | Joined::Closed(_) => panic!("somebody is ahead"),
        })
        .collect();
    assert!(table.release(hold).into_turns().eq(0..1000));
    table.check();
    for ticket in tickets {
        let hold = table.take_turn(ticket).unwrap();
        drop(table.release(hold));
    }
    table.check();
    assert!(table.is_empty());
}

#[test]
fn closing_ends_those_who_wait_in_the_order_of_their_queue_and_nobody_else() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let [taken, turn, ended, dropped] =
        ["a", "b", "c", "d"].map(|name| queue(&mut table, Mode::Exclusive, name));
    drop(table.release(hold));
    let hold = table.take_turn(taken).unwrap();
    drop(table.release(hold));
    assert_eq!(turns(&mut table, LockTable::close), ["c", "d"]);
    assert!(table.is_closed());
    assert_eq!(status(&table), Some((Mode::Exclusive, 1, 0)));

    assert!(matches!(table.take_turn(ended), Err(NoTurn::Closed)));
    assert!(turns(&mut table, |table| table.cancel(dropped)).is_empty());
    let token = table.take_turn(turn).map(|hold| {
        let token = hold.token();
        drop(table.release(hold));
        token
    });
    assert_eq!(token.unwrap(), 3, "a turn that was handed over is taken");
    assert!(table.is_empty());
    table.check();
}

#[test]
fn a_closed_table_refuses_and_gives_back_what_was_to_come() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Shared).unwrap();
    assert_eq!(table.close().into_turns().count(), 0);
    assert_eq!(table.close().into_turns().count(), 0);
    assert!(try_lock(&mut table, Mode::Shared).is_none(), "not even beside a shared holder");
    for (id, mode) in [(ID, Mode::Shared), (ID, Mode::Exclusive), ("other", Mode::Exclusive)] {
        let joined = table.lock(table.hash(id), id, mode, "bob");
        assert!(matches!(joined, Joined::Closed("bob")));
        table.check();
    }
    assert_eq!(table.len(), 1);
    drop(table.release(hold));
    assert!(table.is_empty());
}

#[test]
fn a_hold_of_a_closed_table_can_be_downgraded() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    drop(table.close());
    let (hold, due) = table.downgrade(hold);
    assert_eq!((hold.mode(), hold.token(), due.into_turns().count()), (Mode::Shared, 1, 0));
    table.check();
    drop(table.release(hold));
    assert!(table.is_empty());
}

fn watch(table: &mut Table, name: &'static str) -> lockcore::Watch {
    table.watch(table.hash(ID), ID, name).unwrap()
}

#[test]
fn who_watches_is_told_by_whatever_frees_the_id() {
    for mode in [Mode::Exclusive, Mode::Shared] {
        let mut table = Table::new();
        let hold = try_lock(&mut table, mode).unwrap();
        let told = [watch(&mut table, "one"), watch(&mut table, "two")];
        let left = watch(&mut table, "left");
        let ticket = queue(&mut table, Mode::Exclusive, "bob");
        assert_eq!(status(&table), Some((mode, 1, 1)), "who watches takes no place");
        assert_eq!(table.unwatch(left), Some("left"));
        assert_eq!(turns(&mut table, |table| table.release(hold)), ["bob"]);
        assert_eq!(turns(&mut table, |table| table.cancel(ticket)), ["one", "two"]);
        let again = try_lock(&mut table, mode).unwrap();
        for watch in told {
            assert!(table.watching_mut(&watch).is_none(), "it is told once");
            assert!(table.unwatch(watch).is_none());
            table.check();
        }
        assert!(turns(&mut table, |table| table.release(again)).is_empty());
        assert_eq!(table.watch(table.hash(ID), ID, "three").unwrap_err(), "three");
    }
}

#[test]
fn who_watches_the_table_is_told_after_those_of_its_last_id() {
    let mut table = Table::new();
    assert_eq!(table.watch_all("nothing").unwrap_err(), "nothing");
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let other = table.try_lock(table.hash("other"), "other", Mode::Exclusive).unwrap();
    let [all, gone] = ["all", "gone"].map(|name| table.watch_all(name).unwrap());
    let of_id = watch(&mut table, "id");
    table.check();
    assert!(turns(&mut table, |table| table.release(other)).is_empty());
    assert_eq!(table.unwatch(gone), Some("gone"));
    assert_eq!(table.watching_mut(&all).map(|name| std::mem::replace(name, "late")), Some("all"));
    assert_eq!(turns(&mut table, |table| table.release(hold)), ["id", "late"]);
    assert!([all, of_id].map(|watch| table.unwatch(watch)).iter().all(Option::is_none));
    table.check();
}

#[test]
fn a_table_that_nobody_watches_any_more_is_released_as_before() {
    let mut table = Table::new();
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    let watches = [table.watch_all("all").unwrap(), watch(&mut table, "id")];
    for watch in watches {
        assert!(table.unwatch(watch).is_some());
        table.check();
    }
    assert!(turns(&mut table, |table| table.release(hold)).is_empty());
    assert!(table.is_empty());
}

#[test]
fn the_queue_is_seen_from_head_to_tail() {
    let mut table = Table::new();
    let hash = table.hash(ID);
    let seen = |table: &Table| table.queue(hash, ID).copied().collect::<Vec<_>>();
    assert!(seen(&table).is_empty(), "nobody uses the id");
    let hold = try_lock(&mut table, Mode::Exclusive).unwrap();
    assert!(seen(&table).is_empty(), "a lone holder has no queue");
    let [one, two, three] =
        ["one", "two", "three"].map(|name| queue(&mut table, Mode::Exclusive, name));
    assert_eq!(seen(&table), ["one", "two", "three"]);
    drop(table.cancel(two));
    assert_eq!(turns(&mut table, |table| table.release(hold)), ["one"]);
    assert_eq!(seen(&table), ["three"], "who has the turn is not in the queue");
    for ticket in [one, three] {
        drop(table.cancel(ticket));
    }
}
