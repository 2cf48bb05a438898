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
