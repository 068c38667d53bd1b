import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import { GraphQLModule } from '@nestjs/graphql';
import type { Logger } from '#lib/platform';
import { graphqlOptions } from './graphql/graphql-options.js';
import { LibraryResolver } from './graphql/library.resolver.js';
import { PlayResolver } from './graphql/play.resolver.js';
import { RolesGuard } from './http/roles.js';
import { FabulaNode } from './node.js';
import { playCommandHandlers } from './play/commands.js';
import { playQueryHandlers } from './play/queries.js';
import { AccessController } from './rest/access.controller.js';
import { complianceControllers } from './rest/admin-compliance.controller.js';
import { AdminDeadLettersController } from './rest/admin-dead-letters.controller.js';
import { AdminFeedController } from './rest/admin-feed.controller.js';
import { AdminPlaythroughsController, AdminProjectionsController } from './rest/admin-operations.controller.js';
import { AdminStoriesController } from './rest/admin-stories.controller.js';
import { AuditController } from './rest/audit.controller.js';
import { OperationsController } from './rest/operations.controller.js';
import { HealthController } from './rest/health.controller.js';
import { InternalController } from './rest/internal.controller.js';

/** What every process answers, whatever its roles. */
@Global()
@Module({})
export class NodeModule {
  static of(node: FabulaNode): DynamicModule {
    return {
      module: NodeModule,
      controllers: [HealthController, InternalController],
      providers: [
        { provide: FabulaNode, useValue: node },
        { provide: APP_GUARD, useClass: RolesGuard },
      ],
      exports: [FabulaNode],
    };
  }
}

/** The outside: GraphQL for readers, REST for authors, operators and compliance. */
@Module({})
export class ApiModule {
  static of(root: string, logger: Logger): DynamicModule {
    return {
      module: ApiModule,
      imports: [CqrsModule.forRoot(), GraphQLModule.forRoot(graphqlOptions(root, logger))],
      controllers: [
        OperationsController,
        AdminStoriesController,
        AdminPlaythroughsController,
        AdminProjectionsController,
        AdminDeadLettersController,
        AdminFeedController,
        AuditController,
        ...complianceControllers,
        AccessController,
      ],
      providers: [PlayResolver, LibraryResolver, ...playCommandHandlers, ...playQueryHandlers],
    };
  }
}

@Module({})
export class AppModule {
  static of(node: FabulaNode, root: string): DynamicModule {
    return { module: AppModule, imports: [NodeModule.of(node), ...(node.has('api') ? [ApiModule.of(root, node.logger)] : [])] };
  }
}
