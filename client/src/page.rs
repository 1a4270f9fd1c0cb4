//! Pages that stand under a head: a node that has not heard of one yet is asked again.

use aimslog_proto::limits;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::LeafIndex;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::transport::Channel;

use crate::error::ClientError;
use crate::ledger::Ledger;

/// How long a node gets that has not heard of a head yet.
const HEAD_PAUSE: Duration = Duration::from_millis(100);

/// The largest page: fewer calls, and one proof for more.
pub(crate) fn size() -> u32 {
    u32::try_from(limits::PAGE_MAX).unwrap_or(u32::MAX)
}

impl Ledger {
    /// The answer to a call for what stands in front of `place`, and who gave it. While no head covers the
    /// place at the node that was asked, it is asked again, for as long as a call may take. Without a
    /// place it is about an entry that the ledger knows, which a head covers soon.
    pub(crate) async fn ask_for_page<T, F, Fut>(
        &self,
        place: Option<LeafIndex>,
        call: F,
    ) -> Result<(String, T), ClientError>
    where
        F: Fn(EvidenceServiceClient<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let until = Instant::now() + self.deadline();
        loop {
            match self.evidence_service(&call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_for_head(error, (place, until)).await?,
            }
        }
    }

    /// Waits a little where a node may not know yet of a head that covers `place`, and fails where no
    /// waiting helps.
    async fn wait_for_head(
        &self,
        error: ClientError,
        (place, until): (Option<LeafIndex>, Instant),
    ) -> Result<(), ClientError> {
        let is_beyond = matches!(&error, ClientError::Refused(refusal)
            if refusal.reason == Some(Reason::BeyondTree));
        if !is_beyond || Instant::now() >= until {
            return Err(error);
        }
        if let Some(place) = place {
            let head = self.checkpoint().await?;
            if head.head().size.0 < place.0 {
                return Err(error);
            }
        }
        sleep(HEAD_PAUSE).await;
        Ok(())
    }
}
