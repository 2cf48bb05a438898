//! Why a store should check tokens: a holder that is stopped past its lease goes on as if it still
//! held, and no lock service in the world can stop it. A store that remembers the greatest token it
//! saw refuses what comes too late.
//!
//! Run it (it stops a process by `kill`): `cargo run --release -- --port 9999`, and in another
//! terminal `cargo run --example fenced_store` (or with another address behind `--`).

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lockcore_net::{Client, ClientOptions};

/// Keeps one value, and the greatest token that it was written by.
#[derive(Default)]
struct Store {
    value: String,
    greatest: u64,
}

impl Store {
    fn write(&mut self, token: u64, value: &str) {
        if token < self.greatest {
            let greatest = self.greatest;
            return println!("store: token {token} is older than {greatest}: {value:?} refused");
        }
        (self.greatest, self.value) = (token, value.to_owned());
        println!("store: {value:?} written by token {token}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:9999".to_owned());
    let client = ClientOptions::new().lease(Duration::from_secs(1)).connect(&address).await?;
    if env::args().nth(2).is_some() {
        return careless(&client).await;
    }
    let mut store = Store::default();
    let mut holder = start_holder(&address)?;
    let mut says = BufReader::new(holder.stdout.take().ok_or("its output is a pipe")?).lines();
    let token: u64 = says.next().ok_or("the holder has gone")??.parse()?;
    store.write(token, "by the first holder");
    signal(&holder, "-STOP")?;

    let guard = client.lock("ledger").await?; // the lease of the stopped one has to pass
    store.write(guard.token(), "by the second holder");
    signal(&holder, "-CONT")?;
    drop(holder.stdin.take()); // the first goes on
    println!("first holder: {}", says.next().ok_or("the holder has gone")??);
    store.write(token, "by the first holder, late");
    println!("store has {:?}", store.value);
    Ok(guard.unlock().await?)
}

/// Holds, says by which token, and asks only later whether it still does.
async fn careless(client: &Client) -> Result<(), Box<dyn Error>> {
    let guard = client.lock("ledger").await?;
    println!("{}", guard.token());
    io::stdin().read_to_end(&mut Vec::new())?;
    println!("is_held() is {}, and writes all the same", guard.is_held());
    Ok(())
}

fn start_holder(address: &str) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args([address, "holder"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

fn signal(process: &Child, signal: &str) -> Result<(), Box<dyn Error>> {
    Command::new("kill").args([signal, &process.id().to_string()]).status()?;
    Ok(())
}
