//! The Task service of containerd, over the verbs of [`Shim`].

use std::sync::Arc;

use containerd_shim_protos::api::*;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::ttrpc::{Result, TtrpcContext};
use containerd_shim_protos::{TASK_API_VERSION, Task};
use crossbeam_channel::select;

use crate::error::Error;
use crate::events::timestamp;
use crate::shim::Shim;

/// One for each version of the service: they differ in their names.
pub struct Service(pub Arc<Shim>);

fn done<T>(result: crate::error::Result<T>) -> Result<Empty> {
    Ok(result.map(|_| Empty::default())?)
}

impl Task for Service {
    fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let pid = self.0.create(&request)?;
        Ok(CreateTaskResponse { pid, ..Default::default() })
    }

    fn start(&self, _: &TtrpcContext, request: StartRequest) -> Result<StartResponse> {
        let pid = self.0.start(&request.id, &request.exec_id)?;
        Ok(StartResponse { pid, ..Default::default() })
    }

    fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Result<DeleteResponse> {
        Ok(self.0.delete(&request.id, &request.exec_id)?)
    }

    fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Result<Empty> {
        done(self.0.exec(request))
    }

    fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Result<Empty> {
        done(self.0.resize(&request))
    }

    fn state(&self, _: &TtrpcContext, request: StateRequest) -> Result<StateResponse> {
        let mut tasks = self.0.tasks();
        let container = tasks.get(&request.id)?;
        let bundle = container.bundle.to_string_lossy().into_owned();
        let state = container.process(&request.exec_id)?.state();
        Ok(StateResponse { id: request.id, exec_id: request.exec_id, bundle, ..state })
    }

    fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Result<Empty> {
        done(self.0.pause(&request.id))
    }

    fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Result<Empty> {
        done(self.0.resume(&request.id))
    }

    fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Result<Empty> {
        done(self.0.kill(&request))
    }

    fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Result<PidsResponse> {
        let processes = self.0.pids(&request.id)?;
        Ok(PidsResponse { processes, ..Default::default() })
    }

    fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Result<Empty> {
        if !request.stdin {
            return Ok(Empty::default());
        }
        done(self.0.close_input(&request.id, &request.exec_id))
    }

    fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> Result<Empty> {
        done(self.0.checkpoint(&request))
    }

    fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Result<Empty> {
        done(self.0.update(&request))
    }

    fn wait(&self, context: &TtrpcContext, request: WaitRequest) -> Result<WaitResponse> {
        let end = self.0.tasks().process(&request.id, &request.exec_id)?.wait();
        // A client that goes away takes its thread with it.
        let exit = select! {
            recv(end) -> exit => exit.ok(),
            recv(context.cancel_rx) -> _ => None,
        };
        let exit = exit.ok_or_else(|| Error::not_found("wait for process: it was deleted"))?;
        Ok(WaitResponse { exit_status: exit.code, exited_at: Some(timestamp(exit.at)).into(), ..Default::default() })
    }

    fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Result<StatsResponse> {
        let stats = self.0.stats(&request.id)?;
        Ok(StatsResponse { stats: Some(stats).into(), ..Default::default() })
    }

    fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Result<ConnectResponse> {
        let task_pid = self.0.tasks().get(&request.id)?.init.pid;
        let (shim_pid, version) = (std::process::id(), format!("v{TASK_API_VERSION}"));
        Ok(ConnectResponse { shim_pid, task_pid, version, ..Default::default() })
    }

    fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> Result<Empty> {
        if request.now || self.0.tasks().is_empty() {
            self.0.events.quit();
        }
        Ok(Empty::default())
    }
}
