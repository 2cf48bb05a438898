//! Prints `lockcore` beside its peers: all rows, or those whose title contains an argument.

use lockcore_benches::{
    report,
    rows::{ROWS, Row},
};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |row: &&Row| {
        wanted.is_empty() || wanted.iter().any(|part| row.title.replace('\n', " ").contains(part))
    };
    report::print(ROWS.iter().filter(is_wanted));
}
