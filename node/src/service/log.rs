//! `LogService`: heads, entries and proofs, all under a published head.

use crate::config::EntryVisibility;
use crate::ledger::policy_steps::{Way, policy_changes};
use crate::ledger::row::EntryRow;
use crate::ledger::state::TypedRows as _;
use crate::ledger::tree;
use crate::limits_server::{POLICY_PAGE_BYTES_MAX, POLICY_PAGE_CHANGES_MAX};
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::file_turns::FileTurns;
use crate::service::heads::{EntryKey, HeadChoice, beyond, entry_under, head, head_receipt};
use crate::service::status::Failure;
use crate::service::{answers, convert, deadline, entries, files};
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::pb::v1::log_service_server::LogService;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use std::sync::Arc;
use tokio::time::timeout_at;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Answers from published heads.
#[derive(Debug, Clone)]
pub struct LogApi {
    backend: Backend,
    turns: Arc<FileTurns>,
    /// Of those who ask for changes of policy, who need not say who they are: files do not keep them
    /// waiting.
    policy_turns: Arc<FileTurns>,
}

impl LogApi {
    /// Answers from this node.
    pub fn new(backend: Backend) -> Self {
        Self {
            backend,
            turns: Arc::default(),
            policy_turns: Arc::new(FileTurns::of_policies()),
        }
    }

    /// Who reads entry bytes: they are for readers, or for everybody where the node is configured so.
    fn entry_reader(&self, metadata: &MetadataMap) -> Result<Option<Reader>, Failure> {
        match self.backend.facts.entries {
            EntryVisibility::Public => self.backend.serving().map(|()| None),
            EntryVisibility::Token => self.backend.reader(metadata).map(Some),
        }
    }

    async fn signed_head(&self, choice: HeadChoice) -> Result<pb::SignedHead, Failure> {
        self.backend.serving()?;
        let registry = self.backend.ledger.registry();
        self.backend
            .read(move |view| {
                let head = head(view, choice)?;
                Ok(convert::signed_head(
                    &head,
                    &head_receipt(&registry, &head)?,
                )?)
            })
            .await
    }

    /// Waits for a head of at least `size`, at most until the deadline.
    async fn wait_for(&self, size: u64, until: tokio::time::Instant) -> Result<(), Failure> {
        let mut progress = self.backend.ledger.progress();
        self.backend.publisher.want_head(TreeSize(size));
        let reached =
            progress.wait_for(|now| now.head.is_some_and(|head| head.tree.size.0 >= size));
        match timeout_at(until, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Failure::new(Reason::ShuttingDown, "the node is stopping")),
            Err(_) => Err(Failure::new(
                Reason::NoHead,
                "no such head before the deadline",
            )),
        }
    }

    async fn inclusion(
        &self,
        key: EntryKey,
        choice: HeadChoice,
    ) -> Result<pb::GetInclusionProofResponse, Failure> {
        self.backend.serving()?;
        let registry = self.backend.ledger.registry();
        self.backend
            .read(move |view| {
                let head = head(view, choice)?;
                let (index, entry) = entry_under(view, key, &head)?;
                let proof = tree::inclusion(view, LeafIndex(index), TreeSize(head.size))?
                    .ok_or_else(|| beyond(head.size))?;
                Ok(pb::GetInclusionProofResponse {
                    proof: Some(convert::inclusion(&proof)),
                    head: Some(convert::signed_head(
                        &head,
                        &head_receipt(&registry, &head)?,
                    )?),
                    leaf_hash: entry.leaf_hash.to_vec(),
                })
            })
            .await
    }

    async fn consistency(
        &self,
        old_size: u64,
        choice: HeadChoice,
    ) -> Result<pb::GetConsistencyProofResponse, Failure> {
        self.backend.serving()?;
        let registry = self.backend.ledger.registry();
        self.backend
            .read(move |view| {
                let head = head(view, choice)?;
                let sizes = [TreeSize(old_size), TreeSize(head.size)];
                let proof = tree::consistency(view, sizes)?.ok_or_else(|| {
                    let rule = "at most the size of the head";
                    Failure::field(Reason::InvalidRequest, "old_size", rule)
                })?;
                Ok(pb::GetConsistencyProofResponse {
                    proof: Some(convert::consistency(&proof)),
                    head: Some(convert::signed_head(
                        &head,
                        &head_receipt(&registry, &head)?,
                    )?),
                })
            })
            .await
    }

    async fn receipt(
        &self,
        key: EntryKey,
        choice: HeadChoice,
    ) -> Result<pb::GetReceiptResponse, Failure> {
        self.backend.serving()?;
        let registry = self.backend.ledger.registry();
        self.backend
            .read(move |view| {
                let head = head(view, choice)?;
                let (index, _) = entry_under(view, key, &head)?;
                let proof = tree::inclusion(view, LeafIndex(index), TreeSize(head.size))?
                    .ok_or_else(|| beyond(head.size))?;
                let receipt = head_receipt(&registry, &head)?;
                Ok(pb::GetReceiptResponse {
                    receipt: receipt.assemble(&proof),
                    head: Some(convert::signed_head(&head, &receipt)?),
                })
            })
            .await
    }

    async fn entry(&self, key: EntryKey) -> Result<pb::GetEntryResponse, Failure> {
        self.backend
            .read(move |view| {
                let head = head(view, HeadChoice::Newest)?;
                let (index, entry) = entry_under(view, key, &head)?;
                Ok::<_, ReadFailure>(pb::GetEntryResponse {
                    entry: Some(convert::entry_ref(index, &entry)),
                    statement: entry.statement.to_vec(),
                })
            })
            .await
    }

    async fn info(
        &self,
        request: pb::GetLogInfoRequest,
    ) -> Result<pb::GetLogInfoResponse, Failure> {
        self.backend.serving()?;
        let published = self.backend.ledger.progress().borrow().head;
        let under = match published {
            Some(_) => self.under_the_newest_head(request).await?,
            None => pb::GetLogInfoResponse::default(),
        };
        let registry = self.backend.ledger.registry();
        let facts = &self.backend.facts;
        let next = LeafIndex(registry.last_index().map_or(0, |last| last.0 + 1));
        let policy = registry.policy().map(|(_, texts)| texts.clone());
        let (publish_policy, trust_policy) = policy
            .map(|texts| (texts.publish, texts.trust))
            .unwrap_or_default();
        Ok(pb::GetLogInfoResponse {
            service_id: facts.service_id.clone(),
            genesis: facts.genesis.clone(),
            publish_policy,
            trust_policy,
            level: self.backend.ledger.progress().borrow().level,
            rule_bundle: registry
                .rules_at(next)
                .map(|digest| digest.to_vec())
                .unwrap_or_default(),
            ..under
        })
    }

    /// What of the facts stands under the newest published head.
    async fn under_the_newest_head(
        &self,
        request: pb::GetLogInfoRequest,
    ) -> Result<pb::GetLogInfoResponse, Failure> {
        let registry = self.backend.ledger.registry();
        self.backend
            .read(move |view| {
                let size = TreeSize(head(view, HeadChoice::Newest)?.size);
                let mut found = pb::GetLogInfoResponse::default();
                if let Some(index) = registry.keys_record(size) {
                    found.keys_index = index.0;
                    found.keys = statement_at(view, index)?;
                }
                if request.with_policy_steps {
                    let mut changes = policy_changes(&registry, size);
                    changes.retain(|index| index.0 > request.policy_steps_after);
                    changes.reverse();
                    let mut way = Way::new(view, &registry, &changes);
                    (found.policy_steps, found.more_policy_steps) = policy_page(view, &mut way)?;
                }
                Ok::<_, ReadFailure>(found)
            })
            .await
    }
}

/// The next changes of policy, and whether there are more.
fn policy_page<R: Rows>(
    rows: &R,
    way: &mut Way<'_, R>,
) -> Result<(Vec<pb::PolicyStep>, bool), ReadFailure> {
    let mut page: Vec<pb::PolicyStep> = Vec::new();
    let mut bytes = 0;
    while page.len() < POLICY_PAGE_CHANGES_MAX && bytes < POLICY_PAGE_BYTES_MAX {
        // Changes that one head leads over together are never on two pages: whoever goes on behind the last
        // one is at a place where a head led to.
        let Some(together) = way.next_changes()? else {
            break;
        };
        for change in together {
            let statement = statement_at(rows, change.0)?;
            let step = convert::policy_step(change, statement);
            bytes += step.checkpoint.len() + step.statement.len();
            page.push(step);
        }
    }
    Ok((page, way.left() > 0))
}

fn statement_at(rows: &impl Rows, index: LeafIndex) -> Result<Vec<u8>, ReadFailure> {
    let entry: EntryRow = rows.expect_value(&codec::entry(index.0))?;
    Ok(entry.statement.to_vec())
}

/// The answer to a reader, or to somebody who need not be one.
fn answer<T>(reader: Option<&Reader>, message: T) -> Response<T> {
    match reader {
        Some(reader) => answers::to(reader, message),
        None => Response::new(message),
    }
}

#[tonic::async_trait]
impl LogService for LogApi {
    type GetEvidenceStream = files::ChunkStream<pb::GetEvidenceResponse>;

    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::GetCheckpointResponse>, Status> {
        self.backend.serving()?;
        let until = deadline::of(request.metadata());
        let request = request.into_inner();
        if request.wait_for_size > 0 {
            self.wait_for(request.wait_for_size, until).await?;
        }
        let head = self
            .signed_head(HeadChoice::from_size(request.tree_size))
            .await?;
        Ok(Response::new(pb::GetCheckpointResponse {
            head: Some(head),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<pb::GetEntryRequest>,
    ) -> Result<Response<pb::GetEntryResponse>, Status> {
        let reader = self.entry_reader(request.metadata())?;
        let key = convert::key_of!(request.get_ref(), get_entry_request)?;
        Ok(answer(reader.as_ref(), self.entry(key).await?))
    }

    async fn get_entries(
        &self,
        request: Request<pb::GetEntriesRequest>,
    ) -> Result<Response<pb::GetEntriesResponse>, Status> {
        let reader = self.entry_reader(request.metadata())?;
        let request = request.into_inner();
        let page = self
            .backend
            .read(move |view| entries::page(view, &request))
            .await?;
        Ok(answer(reader.as_ref(), page))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Result<Response<pb::GetInclusionProofResponse>, Status> {
        let request = request.into_inner();
        let key = convert::key_of!(request, get_inclusion_proof_request)?;
        let head = HeadChoice::from_size(request.tree_size);
        Ok(Response::new(self.inclusion(key, head).await?))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Result<Response<pb::GetConsistencyProofResponse>, Status> {
        let request = request.into_inner();
        let head = HeadChoice::from_size(request.new_size);
        Ok(Response::new(
            self.consistency(request.old_size, head).await?,
        ))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let request = request.into_inner();
        let key = convert::key_of!(request, get_receipt_request)?;
        let head = HeadChoice::from_size(request.tree_size);
        Ok(Response::new(self.receipt(key, head).await?))
    }

    async fn get_evidence(
        &self,
        request: Request<pb::GetEvidenceRequest>,
    ) -> Result<Response<Self::GetEvidenceStream>, Status> {
        let reader = self.backend.reader(request.metadata())?;
        let until = deadline::of(request.metadata());
        let turn = self.turns.take(Some(&reader), until).await?;
        let request = (request.into_inner(), turn);
        let (file, turn) = files::evidence(&self.backend, &reader, request).await?;
        Ok(answers::to(
            &reader,
            files::chunks(&self.backend, file, turn),
        ))
    }

    async fn get_log_info(
        &self,
        request: Request<pb::GetLogInfoRequest>,
    ) -> Result<Response<pb::GetLogInfoResponse>, Status> {
        let until = deadline::of(request.metadata());
        let request = request.into_inner();
        // Steps are looked for among heads.
        let _turn = if request.with_policy_steps {
            Some(self.policy_turns.take(None, until).await?)
        } else {
            None
        };
        Ok(Response::new(self.info(request).await?))
    }
}

#[cfg(test)]
mod tests;
