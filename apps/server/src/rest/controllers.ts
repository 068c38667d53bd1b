import { AccessController } from './access.controller.js';
import { complianceControllers } from './admin-compliance.controller.js';
import { AdminDeadLettersController } from './admin-dead-letters.controller.js';
import { AdminFeedController } from './admin-feed.controller.js';
import { AdminPlaythroughsController, AdminProjectionsController } from './admin-operations.controller.js';
import { AdminRetentionController } from './admin-retention.controller.js';
import { AdminStoriesController } from './admin-stories.controller.js';
import { subjectControllers } from './admin-subjects.controller.js';
import { AuditReconciliationController } from './audit-reconciliation.controller.js';
import { AuditTilesController } from './audit-tiles.controller.js';
import { AuditWitnessesController } from './audit-witnesses.controller.js';
import { AuditController } from './audit.controller.js';
import { HealthController } from './health.controller.js';
import { InternalController } from './internal.controller.js';
import { OperationsController } from './operations.controller.js';

/** What every process answers. */
export const everywhereControllers = [HealthController, InternalController];

/** What processes with the role `api` answer besides. The order of routes is that of their paths, not of this list. */
export const apiControllers = [
  OperationsController,
  AdminStoriesController,
  AdminPlaythroughsController,
  AdminProjectionsController,
  AdminDeadLettersController,
  AdminFeedController,
  ...complianceControllers,
  AdminRetentionController,
  ...subjectControllers,
  AuditController,
  AuditReconciliationController,
  AuditTilesController,
  AuditWitnessesController,
  AccessController,
];
