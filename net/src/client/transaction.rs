//! [`Transaction`]: locks that are held together.

use super::{Client, Guard, Request};
use crate::Error;

/// Locks that are held together, so that a deadlock is found: each request that would wait, over
/// whatever detours, for a lock of its own transaction is refused at once with the circle.
///
/// Made by [`Client::transaction`]. Dropping it does nothing: the guards hold.
///
/// # Examples
///
/// ```no_run
/// # async fn example(client: lockcore_net::Client) -> Result<(), lockcore_net::Error> {
/// use lockcore_net::{Error, Refusal};
///
/// let transaction = client.transaction();
/// let from = transaction.lock("account-1").await?;
/// match transaction.lock("account-2").await {
///     Ok(to) => println!("holds {} and {}", from.id(), to.id()),
///     Err(Error::Refused { reason: Refusal::Deadlock { circle }, .. }) => {
///         println!("{circle:?} would wait for each other: let go, and begin anew");
///     }
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Transaction {
    client: Client,
    owner: u64,
}

impl Transaction {
    pub(super) fn new(client: Client, owner: u64) -> Self {
        Self { client, owner }
    }

    /// Locks `id` for this transaction.
    ///
    /// # Fairness, cancel safety
    ///
    /// As [`Client::lock`].
    ///
    /// # Deadlocks
    ///
    /// A request that would wait for its own transaction is refused at once. For that the others in the
    /// circle have to be transactions, too, unless they wait with a single request.
    ///
    /// # Errors
    ///
    /// As [`Client::lock`], and [`Error::Refused`] with
    /// [`Refusal::Deadlock`](crate::Refusal::Deadlock).
    pub async fn lock(&self, id: &str) -> Result<Guard, Error> {
        self.request(id).lock().await
    }

    /// Begins a request of this transaction with terms of its own.
    pub fn request<'a>(&'a self, id: &'a str) -> Request<'a> {
        Request::new(&self.client, id, Some(self.owner))
    }
}
