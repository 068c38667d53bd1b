import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import { GraphQLModule } from '@nestjs/graphql';
import type { Logger } from '#lib/platform';
import { graphqlOptions } from './graphql/graphql-options.js';
import { resolvers } from './graphql/resolvers.js';
import { RolesGuard } from './http/roles.js';
import { FabulaNode } from './node.js';
import { playCommandHandlers } from './play/commands.js';
import { playQueryHandlers } from './play/queries.js';
import { apiControllers, everywhereControllers } from './rest/controllers.js';

/** What every process answers, whatever its roles. */
@Global()
@Module({})
export class NodeModule {
  static of(node: FabulaNode): DynamicModule {
    return {
      module: NodeModule,
      controllers: everywhereControllers,
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
      controllers: apiControllers,
      providers: [...resolvers, ...playCommandHandlers, ...playQueryHandlers],
    };
  }
}

@Module({})
export class AppModule {
  static of(node: FabulaNode, root: string): DynamicModule {
    return { module: AppModule, imports: [NodeModule.of(node), ...(node.has('api') ? [ApiModule.of(root, node.logger)] : [])] };
  }
}
