//! The other examples, run as their headers say.

mod support;

use support::{Syncer, TOO_LONG, command};
use tokio::time::timeout;

async fn output_of(example: &str, arguments: &[&str]) -> String {
    let run = command(example).args(arguments).output();
    let output = timeout(TOO_LONG, run).await.expect("it ends in time").unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn in_process_takes_turns_by_id() {
    let output = output_of("examples/in_process", &[]).await;
    for payment in 0..3 {
        let id = format!("books payment-{payment} ");
        let turns: Vec<_> = output.lines().filter(|line| line.contains(&id)).collect();
        assert_eq!(turns.len(), 4, "{output}");
        assert!(turns[3].ends_with("0 wait"), "{output}");
    }
}

#[tokio::test]
async fn a_client_of_go_syncer_works_with_this_server() {
    let syncer = Syncer::start().await;
    let output = output_of("examples/go_syncer_client", &[&syncer.address]).await;
    let expected = "lock 123: OK\nunlock 123: OK\nlock without an id: id must be specified\n";
    assert_eq!(output, expected);
}

#[tokio::test]
async fn readers_share_with_a_writer_that_reads_on() {
    let expected = r#"three readers read ["welcome", "welcome", "welcome"]
the writer reads "welcome"
"#;
    assert_eq!(output_of("examples/reader_writer", &[]).await, expected);
}

#[tokio::test]
async fn transfers_in_all_directions_keep_the_sum() {
    let expected = "after 300 transfers the three have 300 together\n";
    assert_eq!(output_of("examples/transfer", &[]).await, expected);
}

#[tokio::test]
async fn threads_take_turns_and_one_gives_up() {
    let output = output_of("examples/threads", &[]).await;
    let expected = ["gave up after 10ms; 3 wait still", "thread 1 writes"];
    assert_eq!(output.lines().take(2).collect::<Vec<_>>(), expected);
    assert_eq!(output.lines().count(), 4, "{output}");
}

#[tokio::test]
async fn a_shutdown_waits_for_who_is_at_work() {
    let expected = "one is at work, 3 wait\nwhoever was at work is done\n3 turned away\n";
    assert_eq!(output_of("examples/shutdown", &[]).await, expected);
}

#[tokio::test]
async fn an_inspection_finds_the_turn_that_nobody_takes() {
    let expected = "a: Shared, 2 holding, 0 of them not looked yet, 0 waiting
b: Exclusive, 1 holding, 1 of them not looked yet, 1 waiting
then
a: Shared, 2 holding, 0 of them not looked yet, 0 waiting
";
    assert_eq!(output_of("examples/inspection", &[]).await, expected);
}

#[tokio::test]
async fn a_store_refuses_a_late_write() {
    let output = output_of("examples/fencing", &[]).await;
    assert_eq!(output.lines().filter(|line| line.ends_with(": true")).count(), 2, "{output}");
}

#[tokio::test]
async fn a_short_id_is_not_on_the_heap() {
    let expected = "payment-123 is on the heap: false
a payment with a name of more than 24 bytes is on the heap: true
";
    assert_eq!(output_of("examples/short_ids", &[]).await, expected);
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_that_checks_tokens_refuses_a_holder_that_was_stopped_past_its_lease() {
    let syncer = Syncer::start().await;
    let output = output_of("examples/fenced_store", &[&syncer.address]).await;
    let lines: Vec<&str> = output.lines().collect();
    let expected = [
        "store: \"by the first holder\" written by token 1",
        "store: \"by the second holder\" written by token 2",
        "first holder: is_held() is false, and writes all the same",
        "store: token 1 is older than 2: \"by the first holder, late\" refused",
        "store has \"by the second holder\"",
    ];
    assert_eq!(lines, expected);
}
