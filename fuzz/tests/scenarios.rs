//! Each scenario of SCENARIOS.md has tests that exist.

use std::{collections::BTreeMap, fs, path::Path};

/// The tests of each scenario, as `file::name`.
fn listed() -> BTreeMap<u32, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SCENARIOS.md");
    let page = fs::read_to_string(path).unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.split('|').skip(1);
        let number = cells.next()?.trim().parse().ok()?;
        let spans = cells.nth(1)?.split('`').skip(1).step_by(2);
        Some((number, spans.map(str::to_owned).collect()))
    });
    rows.collect()
}

/// Whether a file has a function of this name that is run as a test.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let defines = |line: &str| line.contains(&format!("fn {name}("));
    let Some(at) = lines.iter().position(|line| defines(line)) else { return false };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let attributes: Vec<_> = attributes.collect();
    attributes.iter().any(|line| line.contains("test"))
        && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn each_scenario_has_tests_and_all_of_them_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = listed();
    assert!(listed.keys().copied().eq(1..=12), "{:?}", listed.keys());
    for (scenario, tests) in listed {
        assert!(!tests.is_empty(), "scenario {scenario} has no tests");
        for test in tests {
            let (file, name) = test.split_once("::").expect("a test is given as file::name");
            let source = fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("scenario {scenario}: {file}: {error}"));
            assert!(is_test(&source, name), "scenario {scenario}: {test} does not exist");
        }
    }
}

#[test]
fn a_function_that_is_no_test_or_is_not_run_is_none() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[test]\n#[ignore]\nfn three() {}";
    assert!(!is_test(source, "two") && !is_test(source, "three") && !is_test(source, "four"));
    assert!(is_test(source, "one"));
    assert!(is_test("    #[tokio::test]\n    async fn five() {", "five"));
}
