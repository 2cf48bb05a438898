//! `LockTable` used directly: what does each call give back?

use std::rc::Rc;

use lockcore::{Due, Hold, Joined, LockTable, Mode, Status, Ticket};

type Table = LockTable<String, &'static str>;

const ID: &str = "payment-123";

fn try_lock(table: &mut Table, mode: Mode) -> Option<Hold> {
    table.try_lock(table.hash(ID), ID, mode)
}

fn queue(table: &mut Table, mode: Mode, name: &'static str) -> Ticket {
    match table.lock(table.hash(ID), ID, mode, name) {
        Joined::Waits(ticket) => ticket,
        Joined::Holds(..) => panic!("{name} holds, and ought to wait"),
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
    let ticket = table.take_turn(ticket).expect_err("it is alice's turn");
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
            Joined::Holds(..) => panic!("somebody is ahead"),
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
