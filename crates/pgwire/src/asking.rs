//! A connection's statements, simple and prepared.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{ParamValues, ScalarValue};
use futures_util::{Sink, SinkExt, stream};
use pgwire_protocol::api::auth::StartupHandler;
use pgwire_protocol::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire_protocol::api::portal::{Format, Portal};
use pgwire_protocol::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_describe_response};
use pgwire_protocol::api::results::{DescribePortalResponse, QueryResponse, Response, Tag};
use pgwire_protocol::api::stmt::StoredStatement;
use pgwire_protocol::api::store::{Entry, PortalStore};
use pgwire_protocol::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, DEFAULT_NAME, PgWireServerHandlers,
    RandomPidSecretKeyGenerator,
};
use pgwire_protocol::error::{PgWireError, PgWireResult};
use pgwire_protocol::messages::PgWireBackendMessage;
use pgwire_protocol::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire_protocol::types::format::FormatOptions;
use query::{Described, Engine, Limits};
use record::TenantId;

use crate::catalog::Catalog;
use crate::copying::Shape;
use crate::cursors::{Cursors, Held, Holding};
use crate::kept::Kept;
use crate::parsing::{self, Asked, Order, Parsing, Prepared, Words};
use crate::settings::Setting;
use crate::{Access, Denied, Parts};

/// What all connections share.
pub(crate) struct House {
    engine: Engine,
    catalog: Catalog,
    limits: Limits,
    access: Access,
    words: Words,
    running: AtomicUsize,
    held: Arc<Held>,
}

impl House {
    pub(crate) fn new(parts: Parts) -> query::Result<Self> {
        let (catalog, engine) = Catalog::new(&parts.engine)?;
        let Parts { limits, access, .. } = parts;
        Ok(Self {
            engine,
            catalog,
            limits,
            access,
            words: Words::new(),
            running: AtomicUsize::new(0),
            held: Arc::default(),
        })
    }

    pub(crate) fn threads(&self) -> &tokio::runtime::Handle {
        self.engine.threads()
    }

    /// Whether no statement is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }
}

/// Counts a statement while it is being answered.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whose a connection is, and the engine with that tenant's catalog.
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) engine: Engine,
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) house: Arc<House>,
    pub(crate) asker: Arc<OnceLock<Asker>>,
    pub(crate) manager: Arc<ConnectionManager>,
    pub(crate) keys: Arc<RandomPidSecretKeyGenerator>,
    cursors: Arc<Cursors>,
    statements: Arc<Kept>,
    portals: Arc<Kept>,
}

impl Connection {
    pub(crate) fn new(
        house: Arc<House>,
        manager: Arc<ConnectionManager>,
        keys: Arc<RandomPidSecretKeyGenerator>,
    ) -> Self {
        let (statements, portals) = (Kept::new("prepared statements"), Kept::new("portals"));
        Self {
            house,
            asker: Arc::default(),
            manager,
            keys,
            cursors: Arc::default(),
            statements: Arc::new(statements),
            portals: Arc::new(portals),
        }
    }

    /// Lets somebody in, or not.
    pub(crate) async fn admit(&self, shown: Option<(String, String)>) -> Result<(), Denied> {
        let access = Arc::clone(&self.house.access);
        // Looking up a credential reads the disk.
        let checked = tokio::task::spawn_blocking(move || {
            access(shown.as_ref().map(|(user, password)| (user.as_str(), password.as_str())))
        });
        let tenant = checked.await.unwrap_or(Err(Denied::Unavailable))?;
        let engine = self.house.catalog.of(&self.house.engine, &tenant).map_err(|error| {
            tracing::error!(%error, "the catalog of a connection could not be made");
            Denied::Unavailable
        })?;
        self.asker.get_or_init(|| Asker { tenant, engine });
        Ok(())
    }

    pub(crate) fn words(&self) -> &Words {
        &self.house.words
    }

    pub(crate) fn limits(&self) -> Limits {
        self.house.limits
    }

    pub(crate) fn asker(&self) -> PgWireResult<&Asker> {
        self.asker.get().ok_or(PgWireError::NotReadyForQuery)
    }

    /// What a question will answer.
    pub(crate) async fn describe(&self, asked: &Asked) -> PgWireResult<Described> {
        let Asker { tenant, engine } = self.asker()?;
        match engine.describe(tenant, asked.statement.clone(), self.limits()).await {
            Err(query::Error::Statement(_)) if asked.nothing.is_some() => {
                let schema = asked.nothing.clone().unwrap_or_else(|| Arc::new(Schema::empty()));
                Ok(Described { schema, params: vec![None; asked.parameters] })
            }
            described => described.map_err(parsing::error),
        }
    }

    /// The schema that a cursor answers in.
    pub(crate) fn cursor(&self, name: &str) -> PgWireResult<SchemaRef> {
        self.cursors.schema(name)
    }

    async fn ask(
        &self,
        asked: &Asked,
        params: Vec<ScalarValue>,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>, Holding)> {
        let _running = Running::new(&self.house.running);
        let Asker { tenant, engine } = self.asker()?;
        let answer = match engine.ask(tenant, asked.statement.clone(), params, self.limits()).await {
            Err(query::Error::Statement(_)) if asked.nothing.is_some() => None,
            answer => Some(answer.map_err(parsing::error)?),
        };
        let (schema, batches) = match (answer, &asked.nothing) {
            (Some(answer), _) => {
                let batches = answer.batches().map_err(parsing::error)?;
                (answer.schema, batches)
            }
            (None, nothing) => (nothing.clone().unwrap_or_else(|| Arc::new(Schema::empty())), Vec::new()),
        };
        let holding = self.house.held.take(&batches)?;
        Ok((schema, batches, holding))
    }

    /// Does what a statement says, `params` in the place of its parameters.
    async fn carry_out(
        &self,
        order: &Order,
        params: Vec<ScalarValue>,
        format: &Format,
        options: FormatOptions,
    ) -> PgWireResult<Response> {
        match order {
            Order::Set(setting) => {
                if let Setting::End(_) = setting {
                    self.cursors.end_transaction();
                }
                settle(setting, format, options)
            }
            Order::Ask(asked) => {
                let (schema, batches, holding) = self.ask(asked, params).await?;
                respond(&schema, batches, format, options, Some(holding))
            }
            Order::Copy(asked, shape) => {
                let (schema, batches, holding) = self.ask(asked, params).await?;
                copy(&schema, batches, shape.clone(), options, holding)
            }
            Order::Declare { name, hold, asked } => {
                let (schema, batches, holding) = self.ask(asked, params).await?;
                self.cursors.declare((name.clone(), *hold), schema, batches, holding)?;
                Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
            }
            Order::Fetch { name, most } => {
                let (schema, batches) = self.cursors.fetch(name, *most)?;
                let mut response = respond(&schema, batches, format, options, None)?;
                if let Response::Query(rows) = &mut response {
                    rows.set_command_tag("FETCH");
                }
                Ok(response)
            }
            Order::Close { name } => {
                self.cursors.close(name.as_deref())?;
                let tag = if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" };
                Ok(Response::Execution(Tag::new(tag)))
            }
            Order::Deallocate { .. } => Ok(Response::Execution(Tag::new("DEALLOCATE"))),
        }
    }

    /// Forgets a prepared statement; `None`: all of them.
    fn forget<S: PortalStore>(&self, name: Option<&str>, store: &S) {
        match name {
            Some(name) => {
                self.statements.remove(name);
                store.rm_statement(name);
            }
            None => self.statements.drain().iter().for_each(|name| store.rm_statement(name)),
        }
    }
}

/// Rows, as a client wants them. What they take is counted until they are sent.
fn respond(
    schema: &Schema,
    batches: Vec<RecordBatch>,
    format: &Format,
    options: FormatOptions,
    holding: Option<Holding>,
) -> PgWireResult<Response> {
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, format, Some(Arc::new(options)))?);
    let of = Arc::clone(&fields);
    let rows = batches.into_iter().flat_map(move |batch| {
        let _counted = &holding;
        encode_recordbatch(Arc::clone(&of), batch)
    });
    Ok(Response::Query(QueryResponse::new(fields, stream::iter(rows))))
}

fn copy(
    schema: &Schema,
    batches: Vec<RecordBatch>,
    shape: Shape,
    options: FormatOptions,
    holding: Holding,
) -> PgWireResult<Response> {
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, &shape.encoding(), Some(Arc::new(options)))?);
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let rows = batches.into_iter().flat_map(move |batch| {
        let _counted = &holding;
        encode_recordbatch(Arc::clone(&fields), batch)
    });
    Ok(shape.respond(&names, rows))
}

fn settle(setting: &Setting, format: &Format, options: FormatOptions) -> PgWireResult<Response> {
    Ok(match setting {
        Setting::Begin => Response::TransactionStart(Tag::new("BEGIN")),
        Setting::End(tag) => Response::TransactionEnd(Tag::new(tag)),
        Setting::Done(tag) => Response::Execution(Tag::new(tag)),
        Setting::Show(..) => {
            return respond(&setting.schema(), setting.shown().into_iter().collect(), format, options, None);
        }
        Setting::Unknown(name) => return Err(parsing::unknown_setting(name)),
    })
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.words().read(query)?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::new();
        for statement in statements {
            let options = FormatOptions::from_client_metadata(client.metadata());
            let order = Order::of(statement)?;
            if let Order::Deallocate { name } = &order {
                self.forget(name.as_deref(), client.portal_store());
            }
            responses.push(self.carry_out(&order, Vec::new(), &Format::UnifiedText, options).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Parsing;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(Parsing(self.clone()))
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        self.statements.add(&name, message.query.len())?;
        match StoredStatement::parse(client, &message, self.query_parser()).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        Ok(client.send(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?)
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let portal = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let bytes = message.parameters.iter().flatten().map(|parameter| parameter.len()).sum();
        self.portals.add(portal, bytes)?;
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_statement(statement) {
            Some(Entry::Value(statement)) => {
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => client.portal_store().put_empty_portal(portal),
            None => return Err(PgWireError::StatementNotFound(statement.to_owned())),
        }
        Ok(client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?)
    }

    async fn on_execute<C>(&self, client: &mut C, mut message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Room is made for as many rows as are wanted, before any is there. No answer has more than the limit says.
        let most = i32::try_from(self.limits().rows).unwrap_or(i32::MAX);
        if !(0..=most).contains(&message.max_rows) {
            message.max_rows = 0;
        }
        self._on_execute(client, message).await
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // A cursor is a portal, too.
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_PORTAL
            && let Ok(schema) = self.cursors.schema(name)
        {
            let fields = arrow_schema_to_pg_fields(&schema, &Format::UnifiedText, None)?;
            return send_describe_response(client, &DescribePortalResponse::new(fields)).await;
        }
        self._on_describe(client, message).await
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => self.forget(Some(name), client.portal_store()),
            TARGET_TYPE_BYTE_PORTAL => {
                self.portals.remove(name);
                client.portal_store().rm_portal(name);
            }
            _ => {}
        }
        Ok(client.send(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?)
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let options = FormatOptions::from_client_metadata(client.metadata());
        let prepared = &portal.statement.statement;
        if let Order::Deallocate { name } = &prepared.order {
            self.forget(name.as_deref(), client.portal_store());
        }
        let params = match &prepared.described {
            Some(described) => {
                let known = prepared.params();
                let types: Vec<Option<&DataType>> = known.iter().map(Option::as_ref).collect();
                let wire = parsing::parameter_types(&known)?;
                let wire: Vec<_> = wire.iter().map(Some).collect();
                let mut params: Vec<ScalarValue> =
                    match deserialize_parameters_with_server_types(portal, &types, &wire)? {
                        ParamValues::List(values) => values.into_iter().map(|value| value.value).collect(),
                        ParamValues::Map(_) => Vec::new(),
                    };
                params.truncate(described.params.len());
                params
            }
            None => Vec::new(),
        };
        self.carry_out(&prepared.order, params, &portal.result_column_format, options).await
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(self.clone())
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(self.clone())
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(self.clone())
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(Arc::clone(&self.manager)))
    }
}
